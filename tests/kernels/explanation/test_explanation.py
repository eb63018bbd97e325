"""`python -m kernels explain`: the mix is right, the code shown is the code that runs, bad input is refused."""

import dis
import json
import math
import os
import re
import shutil
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from children import finished
from llvmlite import binding

import kernels
from kernels import hardware, naive
from kernels.__main__ import main
from kernels.contract.code import Code
from kernels.explanation.assembly import Instruction, operands, parse
from kernels.explanation.explain import compiled
from kernels.explanation.instructions import aarch64, x86
from kernels.explanation.loop import loops_of, main_loop
from kernels.explanation.loops import natural_loops
from kernels.explanation.mix import Mix, chain
from kernels.explanation.operands import DEFAULTS, declaration_of, operands_of
from kernels.explanation.python_code import counted_steps
from kernels.numba_backend.kernels.entry import Epilogue
from kernels.numba_backend.kernels.products.epilogues import EPILOGUES
from kernels.numba_backend.kernels.products.gemm import tile_turn
from kernels.numba_backend.kernels.table import ENTRIES
from kernels.numba_backend.listing import listing
from kernels.numba_backend.native.calling_convention import KERNEL, columns, pointer
from kernels.numba_backend.native.compilation import cfunc
from kernels.numba_backend.runtime.machine import Machine
from kernels.numba_backend.simd import host, vector

x86_only = pytest.mark.skipif(not host.is_x86(), reason="names x86's registers")
LANES = host.lanes(np.float32)
MACHINE_KERNELS = [*ENTRIES, *map(Epilogue, EPILOGUES)]

# Innermost loops with floating-point arithmetic on single numbers, and why they may have it.
SCALAR_LOOPS = {
    "argmax_columns": "plain loops by design: positions down columns are asked for too rarely to be worth vectors",
    "softmax_cross_entropy": "each row's weight and scale: one multiplication a row beside the passes over its classes",
    "to_indices": "plain loops by design: a comparison for each category, beside the row of a table that it names",
}
# Main loops that do not fill a register of float32, and why.
NARROW = {
    "argmax_columns": "as above",
    "cast_to_float64": "the result's lanes are twice as wide",
    "gather_labels": "moves int64, one at a time",
    "to_indices": "as above",
    "watch_below": "compares int64, in registers of the width that LLVM prefers on this CPU",
    "one_hot": "stores zeros, in registers of the width that LLVM prefers on this CPU",
}


@cache
def code_of(name: str, width: int) -> Code:
    return listing(*Machine(width, 1).recipe(name, "f"))


def bare(text: str) -> list[str]:
    """The instructions of assembly text, each on one line; names of functions, which are numbered, left out."""
    lines = (line.split("#")[0].strip() for line in text.splitlines() if re.match(r"\t[^.#]", line))
    return [re.sub(r"_ZN\w+", "F", line) for line in lines]


# ---- every kernel -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MACHINE_KERNELS, ids=lambda n: f"epilogue_{n}" if type(n) is Epilogue else n)
def test_no_innermost_loop_computes_number_by_number(name):
    # An epilogue equals the kernel it is named as, so it must not be found in its place.
    loops = loops_of(code_of(name, LANES) if type(name) is str else listing(*Machine(LANES, 1).recipe(name, "f")), 32)
    hot = main_loop(loops)
    scalar = [str(line.instruction) for loop in loops if loop.innermost for line in loop.lines if line.operation.scalar
              and line.operation.kind in ("fma", "arithmetic", "division", "comparison")]  # fmt: skip
    assert bool(scalar) == (type(name) is not Epilogue and name in SCALAR_LOOPS), scalar
    if type(name) is Epilogue or name not in NARROW:
        assert hot.mix.lanes == LANES, hot.sentence
    assert hot.innermost and not hot.mix.calls
    assert hot.source is not None and hot.source[0].endswith(".py")
    assert any(line.places for line in hot.lines)


@x86_only
@pytest.mark.parametrize("name", ("exp", "add", "gemm", "softmax", "adam", "batch_norm"))
@pytest.mark.parametrize("width", (1, 4, 8, 16))
def test_the_width_asked_for_is_the_width_compiled(name, width):
    if width > LANES:
        pytest.skip("wider than this CPU's registers")
    if name == "gemm" and width == 4:
        pytest.skip("takes seconds to compile, and 1, 8 and 16 say enough")
    mix = main_loop(loops_of(code_of(name, width), 32)).mix
    if width == 1:
        assert mix.packed == 0 and mix.scalar > 0 and mix.lanes == 1
    else:
        assert mix.scalar == 0 and mix.packed > 0 and mix.lanes == width
        assert set(mix.widths) == {32 * width}


@x86_only
def test_a_cpu_without_avx_has_no_avx():
    environment = {**os.environ, "NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}
    command = [sys.executable, "-m", "kernels", "explain", "exp", "--json", "-"]
    run = finished(command, env=environment, check=True)
    loops = json.loads(run.stdout)["parts"][0]["loops"]
    assert all(not line["instruction"].startswith("v") for loop in loops for line in loop["lines"])
    hot = loops[json.loads(run.stdout)["parts"][0]["main_loop"]]["mix"]
    assert set(hot["widths"]) == {"128"} and hot["lanes"] == hot["lanes_available"] == 4 and hot["fma_share"] == 0


def test_a_planted_scalar_call_is_pointed_at_by_name():
    f = vector("float32", LANES)

    def build():
        def planted(words, thread, threads):
            x = pointer(f, words, 0)
            for j in range(columns(words, 0)):
                x[j] = math.exp(x[j]) * 2

        return planted

    code = listing("planted", build)
    part = compiled(code, 32)
    assert {re.sub("f$", "", name) for name in part.main.mix.calls} == {"exp"}
    assert re.search(r"calls expf?: it is bound by the functions it calls", part.main.sentence)


@pytest.mark.parametrize("shape, products, loads", (
    ((8, 300, 100), 16, 10), ((3, 300, 100), 6, 5), ((256, 128, 10), 14, 15), ((1, 64, 512), 2, 3),
))  # fmt: skip
@pytest.mark.skipif(LANES != 16, reason="counts tiles of AVX-512")
def test_the_products_loop_is_that_of_the_shape(shape, products, loads):
    f, out = vector("float32", LANES), np.empty((shape[0], shape[2]), np.float32)
    mix = main_loop(loops_of(code_of("gemm", LANES), 32), tile_turn(f, (None, None, None, out), 1)).mix
    times = mix.kinds["fma"] / products
    assert times == round(times) and mix.loads == times * loads


# ---- it is the code that runs -------------------------------------------------------------------------------------


@x86_only
@pytest.mark.skipif(not shutil.which("objdump"), reason="needs GNU objdump")
@pytest.mark.parametrize("name", ("exp", "adam", "softmax", "sin"))
def test_the_listing_is_the_object_code(name, tmp_path):
    key, build, signature = Machine(LANES, 1).recipe(name, "f")

    def compiled_object():
        code = cfunc(signature, error_model="numpy")(build())._library._get_compiled_object()
        (tmp_path / "kernel.o").write_bytes(code)
        command = ["objdump", "-d", "-M", "suffix", "--no-show-raw-insn", str(tmp_path / "kernel.o")]
        listed = finished(command, check=True).stdout
        names = re.findall(r"^\s+[0-9a-f]+:\t(\S+)", listed, re.MULTILINE)
        padding = ("nop", "data16", "cs", "xchg")
        return sorted(same_name(name) for name in names if not name.startswith(padding))

    def same_name(mnemonic):
        """objdump spells a few mnemonics in another way than LLVM."""
        mnemonic = re.sub(r"^(movabs|call|ret|jmp)q?$", r"\1", mnemonic)
        return re.sub(r"^(v?cvtu?si2s[sd])[ql]$", r"\1", mnemonic)

    before = compiled_object()
    shown = sorted(same_name(line.split()[0]) for line in bare(listing(key, build, signature).text))
    assert shown == before == compiled_object()  # and what was shown left no trace in what is compiled after


@pytest.mark.parametrize("name", ("exp", "batch_norm", "softmax_cross_entropy"))
def test_source_lines_leave_the_code_as_it_is(name):
    recipe = Machine(LANES, 1).recipe(name, "f")
    with_lines, without = listing(*recipe), listing(*recipe, lines=False)
    assert bare(with_lines.text) == bare(without.text)
    assert len(with_lines.places) > 10 and without.places == ((),) and ".loc" not in without.text


def test_what_llvmlite_no_longer_offers_is_said(monkeypatch):
    from kernels.numba_backend import listing as module

    monkeypatch.setattr(module, "INSERT", "_gone")
    code = listing(*Machine(1, 1).recipe("negative", "f"))
    assert "does not show source lines" in code.note and loops_of(code, 32)


def test_what_numba_no_longer_offers_is_said(monkeypatch):
    from kernels.numba_backend import listing as module

    monkeypatch.setattr(module, "ADD_MODULE", "_gone")
    code = listing(*Machine(1, 1).recipe("negative", "f"))
    assert "only after compiling it" in code.note and loops_of(code, 32)


# ---- reading assembly ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("successors, expected", (
    ([[1], [1, 2], []], [(1, {1}, 1, {1})]),
    ([[1], [2], [2, 1, 3], []], [(1, {1, 2}, 1, {1}), (2, {2}, 2, {2})]),
    ([[1], [2, 3], [4], [4], [1, 5], []], [(1, {1, 2, 3, 4}, 1, {1, 4})]),  # one branch in some turns only
    ([[1], [2], []], []),
    ([[1, 2], [2], [1, 3], []], []),  # two entries: no natural loop
    ([[1], [2, 4], [3], [1, 2], []], [(1, {1, 2, 3}, 1, {1}), (2, {2, 3}, 2, {2, 3})]),
))  # fmt: skip
def test_natural_loops(successors, expected):
    found = natural_loops(successors)
    assert [(loop.head, set(loop.blocks), loop.depth, set(loop.every_turn)) for loop in found] == expected


@pytest.mark.parametrize("line, kind, lanes, scalar, loads, stores, spill", (
    ("vfmadd231ps %zmm1, %zmm2, %zmm3", "fma", 16, False, 0, 0, False),
    ("vfmadd213ps (%rax){1to16}, %zmm2, %zmm3", "fma", 16, False, 1, 0, False),
    ("vfmadd231sd %xmm1, %xmm2, %xmm3", "fma", 1, True, 0, 0, False),
    ("vmulpd (%rdi,%rax,8), %ymm1, %ymm2", "arithmetic", 4, False, 1, 0, False),
    ("addss %xmm1, %xmm0", "arithmetic", 1, True, 0, 0, False),
    ("vdivps %ymm1, %ymm2, %ymm3", "division", 8, False, 0, 0, False),
    ("sqrtsd %xmm1, %xmm1", "division", 1, True, 0, 0, False),
    ("vcmpltps %zmm1, %zmm2, %k1", "comparison", 16, False, 0, 0, False),
    ("vucomiss (%rax), %xmm1", "comparison", 1, True, 1, 0, False),
    ("vcvtps2pd %ymm1, %zmm2", "conversion", 8, False, 0, 0, False),
    ("vdpbf16ps %zmm1, %zmm2, %zmm3", "fma", 16, False, 0, 0, False),
    ("vcvtne2ps2bf16 (%rax), %zmm2, %zmm3", "conversion", 16, False, 1, 0, False),
    ("tdpbf16ps %tmm6, %tmm4, %tmm0", "tile", 16, False, 0, 0, False),
    ("tileloadd 1024(%rax,%r10), %tmm4", "move", 16, False, 16, 0, False),
    ("tilestored %tmm4, (%rax,%r10)", "move", 16, False, 0, 16, False),
    ("tilezero %tmm4", "move", 16, False, 0, 0, False),
    ("vcvtsd2ss %xmm1, %xmm1, %xmm1", "conversion", 1, True, 0, 0, False),
    ("vcvtsi2ss %rax, %xmm1, %xmm1", "conversion", 1, True, 0, 0, False),
    ("vxorps %ymm1, %ymm2, %ymm3", "logic", 8, False, 0, 0, False),
    ("vxorps %xmm1, %xmm1, %xmm1", "move", 4, False, 0, 0, False),
    ("vpaddd %zmm1, %zmm2, %zmm3", "integer", 16, False, 0, 0, False),
    ("vpmaxsd %zmm1, %zmm2, %zmm3", "integer", 16, False, 0, 0, False),
    ("vcvttps2dq %zmm1, %zmm3", "conversion", 16, False, 0, 0, False),
    ("vcvttpd2dq %zmm1, %ymm3", "conversion", 8, False, 0, 0, False),
    ("vpaddq %zmm1, %zmm2, %zmm3", "integer", 8, False, 0, 0, False),
    ("vblendmps %zmm1, %zmm2, %zmm3 {%k1}", "select", 16, False, 0, 0, False),
    ("vmovaps %zmm1, %zmm2 {%k1}", "select", 16, False, 0, 0, False),
    ("vpermt2ps %zmm1, %zmm2, %zmm3", "shuffle", 16, False, 0, 0, False),
    ("vbroadcastss %xmm1, %zmm3", "shuffle", 16, False, 0, 0, False),
    ("vbroadcastss (%rsi,%r13), %zmm30", "move", 16, False, 1, 0, False),
    ("kmovw %eax, %k1", "mask", 0, False, 0, 0, False),
    ("vmovups %zmm1, 64(%rdi)", "move", 16, False, 0, 1, False),
    ("vmovups %zmm1, 64(%rsp)", "move", 16, False, 0, 1, True),
    ("vmovups 64(%rsp,%rax), %zmm1", "move", 16, False, 1, 0, False),  # an array on the stack
    ("vmovups 64(%rbp), %zmm1", "move", 16, False, 1, 0, False),  # no frame pointer here
    ("vmovss %xmm1, (%rdi)", "move", 1, True, 0, 1, False),
    ("vmulps .LCPI0_1(%rip), %ymm1, %ymm2", "arithmetic", 8, False, 1, 0, False),
    ("addq $64, %rax", "address", 0, False, 0, 0, False),
    ("addq 40(%rsp), %rbx", "address", 0, False, 0, 0, True),
    ("callq *%rax", "call", 0, False, 0, 0, False),
    ("jne .LBB0_1", "jump", 0, False, 0, 0, False),
))  # fmt: skip
def test_x86_instructions(line, kind, lanes, scalar, loads, stores, spill):
    mnemonic, _, rest = line.partition(" ")
    found = x86(Instruction(mnemonic, tuple(operands(rest))))
    assert (found.kind, found.lanes, found.scalar, found.loads, found.stores, found.spill) == (
        kind, lanes, scalar, loads, stores, spill,
    )  # fmt: skip


@pytest.mark.parametrize("line, kind, lanes, scalar, loads, stores", (
    ("fmla v0.4s, v1.4s, v2.s[0]", "fma", 4, False, 0, 0),
    ("fmla v0.2d, v1.2d, v2.2d", "fma", 2, False, 0, 0),
    ("fmadd s0, s1, s2, s3", "fma", 1, True, 0, 0),
    ("fadd v0.4s, v1.4s, v2.4s", "arithmetic", 4, False, 0, 0),
    ("fmul d0, d1, d2", "arithmetic", 1, True, 0, 0),
    ("fdiv v0.4s, v1.4s, v2.4s", "division", 4, False, 0, 0),
    ("scvtf v0.4s, v1.4s", "conversion", 4, False, 0, 0),
    ("fcmgt v0.4s, v1.4s, #0.0", "comparison", 4, False, 0, 0),
    ("add v0.4s, v1.4s, v2.4s", "integer", 4, False, 0, 0),
    ("and v0.16b, v1.16b, v2.16b", "logic", 16, False, 0, 0),
    ("bsl v0.16b, v1.16b, v2.16b", "select", 16, False, 0, 0),
    ("zip1 v0.4s, v1.4s, v2.4s", "shuffle", 4, False, 0, 0),
    ("dup v0.4s, v1.s[0]", "shuffle", 4, False, 0, 0),
    ("ldr q0, [x0]", "move", 4, False, 1, 0),
    ("ldp q0, q1, [x0, #32]", "move", 4, False, 2, 0),
    ("ld1r { v0.4s }, [x0]", "move", 4, False, 1, 0),
    ("stp q0, q1, [x0]", "move", 4, False, 0, 2),
    ("str s0, [x1], #4", "move", 1, True, 0, 1),
    ("add x0, x1, #16", "address", 0, False, 0, 0),
    ("ldr x0, [x1]", "address", 0, False, 0, 0),
    ("fmla.4s v0, v1, v2[0]", "fma", 4, False, 0, 0),  # as Apple writes it
    ("fmul.2d v0, v1, v2", "arithmetic", 2, False, 0, 0),
    ("bl expf", "call", 0, False, 0, 0),
    ("b.ne .LBB0_1", "jump", 0, False, 0, 0),
))  # fmt: skip
def test_aarch64_instructions(line, kind, lanes, scalar, loads, stores):
    mnemonic, _, rest = line.partition(" ")
    found = aarch64(Instruction(mnemonic, tuple(operands(rest))))
    assert (found.kind, found.lanes, found.scalar, found.loads, found.stores) == (kind, lanes, scalar, loads, stores)


NEON = """
	.globl	axpy
axpy:                                   // @axpy
	cbz	x2, .LBB0_2
.LBB0_1:                                // =>This Inner Loop
	.loc	1 1 0
	ldp	q1, q2, [x0], #32
	ldp	q3, q4, [x1]
	fmla	v3.4s, v1.4s, v0.s[0]
	fmla	v4.4s, v2.4s, v0.s[0]
	subs	x2, x2, #8
	stp	q3, q4, [x1], #32
	b.ne	.LBB0_1
.LBB0_2:
	ret
"""


def test_a_loop_of_aarch64():
    code = Code("axpy", NEON, ((), (("axpy.py", 3),)), "aarch64-unknown-linux-gnu", "neoverse-n1", 128)
    part = compiled(code, 32)
    (loop,) = part.loops
    assert loop.sentence == (
        "This loop does 2 fused multiply-adds on 4 of 4 lanes for every 4 loads and 2 stores: it is bound by loads and stores."
    )
    assert loop.source == ("axpy.py", 3) and loop.mix.packed == 2 and loop.mix.scalar == 0
    assert loop.instruction_sets == ("NEON",)


SVE = """
axpy:
.LBB0_1:
\t.loc\t1 1 0
\tld1w\t{ z1.s }, p0/z, [x0, x8, lsl #2]
\tfmul\tz1.s, z1.s, z0.s
\tst1w\t{ z1.s }, p0, [x1, x8, lsl #2]
\tincw\tx8
\tcmp\tx8, x2
\tb.lo\t.LBB0_1
\tret
"""


def test_a_loop_of_scalable_vectors():
    part = compiled(Code("axpy", SVE, ((), (("axpy.py", 3),)), "aarch64-unknown-linux-gnu", "neoverse-v1", 128), 32)
    (loop,) = part.loops
    assert loop.instruction_sets == ("SVE",) and loop.mix.packed == 1


def test_an_x86_loop_names_its_instruction_set():
    loop = main_loop(loops_of(code_of("exp", LANES), 32))
    named = {"SSE", "AVX", "AVX-512"} if host.is_x86() else {"NEON", "SVE"}
    assert loop.instruction_sets and set(loop.instruction_sets) <= named


AXPY = """
declare <4 x float> @llvm.fma.v4f32(<4 x float>, <4 x float>, <4 x float>)
define void @axpy(ptr %x, ptr %y, <4 x float> %a, i64 %n) {
start:
  br label %loop
loop:
  %i = phi i64 [ 0, %start ], [ %next, %loop ]
  %px = getelementptr <4 x float>, ptr %x, i64 %i
  %py = getelementptr <4 x float>, ptr %y, i64 %i
  %vx = load <4 x float>, ptr %px
  %vy = load <4 x float>, ptr %py
  %sum = call <4 x float> @llvm.fma.v4f32(<4 x float> %a, <4 x float> %vx, <4 x float> %vy)
  store <4 x float> %sum, ptr %py
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""


@pytest.mark.parametrize("triple, cpu", (
    ("x86_64-unknown-linux-gnu", "haswell"), ("x86_64-apple-darwin", "haswell"), ("x86_64-pc-windows-msvc", "haswell"),
    ("aarch64-unknown-linux-gnu", "neoverse-n1"), ("arm64-apple-darwin", "apple-m1"),
))  # fmt: skip
def test_every_dialect_of_llvm_is_read(triple, cpu):
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        machine = binding.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)
    except RuntimeError:
        pytest.skip(f"this llvmlite does not compile for {triple}")
    part = compiled(Code("axpy", machine.emit_assembly(binding.parse_assembly(AXPY)), ((),), triple, cpu, 128), 32)
    assert part.main.mix.kinds["fma"] == 1 and part.main.mix.widths == {128: 1} and part.main.mix.lanes == 4
    assert (part.main.mix.loads, part.main.mix.stores, part.main.innermost) == (2, 1, True)


def test_an_unknown_architecture_is_shown_as_it_is():
    code = Code("axpy", "f:\n\tvfadd.vv v0, v1, v2\n", ((),), "riscv64-unknown-linux-gnu", "generic", 128)
    part = compiled(code, 32)
    assert part.main is None and "does not know" in part.note and "vfadd.vv" in part.assembly


def test_an_indirect_jump_goes_where_its_table_says():
    text = """f:
	jmpq	*.LJTI0_0(,%rax,8)
.LBB0_1:
	jmp	.LBB0_3
.LBB0_2:
	addq	$1, %rax
.LBB0_3:
	retq
	.section	.rodata
.LJTI0_0:
	.quad	.LBB0_1
	.quad	.LBB0_3
"""
    (function,) = parse(text, "x86_64-unknown-linux-gnu")
    assert [block.successors for block in function.blocks] == [[1, 3], [3], [3], []]


def steps(*lines: str):
    return [x86(Instruction(line.split()[0], tuple(operands(line.partition(" ")[2])))) for line in lines]


def test_a_chain_from_turn_to_turn_is_found():
    """One sum waits for itself, four cycles an addition; two sums wait side by side."""
    one, two = "vaddps (%rax), %zmm0, %zmm0", "vaddps 64(%rax), %zmm1, %zmm1"
    assert chain(steps(one)) == chain(steps(one, two)) == 4
    assert chain(steps(one, "vaddps 64(%rax), %zmm0, %zmm0")) == 8
    assert chain(steps("vmovups (%rax), %zmm0", "vaddps %zmm0, %zmm0, %zmm0", "addq $64, %rax")) == 1
    assert Mix(tuple(steps(one)), 32, 16).bounds == ["latency"]


def test_products_of_tiles_are_bound_by_their_unit():
    """Each occupies it for 16 cycles; a sum that waits for itself takes longer."""
    load = "tileloadd (%rax,%r14), %tmm4"
    four = [f"tdpbf16ps %tmm6, %tmm4, %tmm{n}" for n in range(4)]
    mix = Mix(tuple(steps(load, *four)), 32, 16)
    assert mix.bounds == ["tiles"] and mix.cycles["tiles"] == 64 and mix.cycles["loads"] == 8
    assert "4 products of tiles" in mix.sentence
    assert Mix(tuple(steps(four[0])), 32, 16).bounds == ["latency"]


@pytest.mark.skipif(not host.has_tiles(), reason="the CPU has no tile registers")
def test_a_product_in_bfloat16_shows_its_tiles():
    found = kernels.explain("matmul", "numba", "float32", (64, 64, 64), {"precision": "bfloat16"})
    assert any(line.instruction.mnemonic == "tdpbf16ps" for line in found.parts[0].main.lines)


# ---- other backends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", kernels.DECLARATIONS)
@pytest.mark.parametrize("backend", ("numpy", "naive"))
def test_every_kernel_is_explained(kernel, backend):
    declaration = declaration_of(kernel)
    shape = {1: (7,), 2: (5, 6), 3: (3, 4, 5)}[operands_dimensions(kernel)]
    found = kernels.explain(kernel, backend, "float64", shape)
    assert found.formula == declaration.formula and found.parts
    assert all(part.kind in ("NumPy", "Python", "composition") for part in found.parts)
    assert found.loops == () and found.mix is None and json.loads(found.json())["kernel"] == kernel
    assert str(found).count(declaration.formula) >= 1


def operands_dimensions(kernel):
    from kernels.testing import CASES

    return max(map(len, CASES[kernel].shapes))


def test_numpy_says_what_it_is():
    product = kernels.explain("matmul", "numpy")
    assert "BLAS" in str(product) and "one call" in str(product)
    softmax = kernels.explain("softmax", "numpy", shape=(4, 5))
    called = [line.partition(":")[0] for line in softmax.parts[0].listing]
    assert called == ["maximum.reduce", "subtract", "exp", "add.reduce", "divide"]
    assert "dispatch" in softmax.parts[0].listing[2] and "5 passes" in softmax.sentence


def test_naive_counts_the_interpreters_steps():
    inside, around = (kernels.explain("matmul", "naive", shape=(4, k, 4)) for k in (8, 16))
    steps = [int(re.search(r"takes ([\d,]+) steps", e.sentence)[1].replace(",", "")) for e in (inside, around)]
    assert steps[0] == steps[1]  # the products are summed in C, in one step however many they are
    assert "multiply-add" in inside.sentence and "FOR_ITER" in str(inside)


def own_relu(x, out):
    for i in range(x.size):
        out[i] = max(x[i], 0)


def test_a_backend_of_ones_own_is_explained():
    def shown(kernel, operands):
        return [Code("mine", NEON, ((), ()), "aarch64-unknown-linux-gnu", "neoverse-n1", 128)]

    plain = kernels.Backend("mine", {**naive.KERNELS, "relu": own_relu})
    assert "own_relu (test_explanation.py" in str(kernels.explain("relu", plain, shape=(5,)))
    compiling = kernels.Backend("mine", {**naive.KERNELS, "relu": own_relu}, code=shown)
    assert kernels.explain("relu", compiling).mix.kinds["fma"] == 2


@pytest.mark.parametrize("kernel", kernels.DECLARATIONS)
def test_operands_fit_the_contract(kernel):
    declaration = declaration_of(kernel)
    found = operands_of(declaration, "float32", None, {})
    assert len(found) == len(declaration.operands)
    backend = kernels.load("numpy")
    named = dict(zip(declaration.parameter_names, found, strict=True))
    getattr(backend, kernel)(**named)
    assert max(x.size for x in found if isinstance(x, np.ndarray)) <= math.prod(DEFAULTS[3])


def test_a_product_with_an_epilogue_shows_both():
    found = kernels.explain("linear", options={"activation": "gelu"})
    assert [re.sub("-.*", "", part.name) for part in found.parts] == ["gemm", "epilogue_gelu"]
    assert found.parts[1].main.mix.packed > 20 and "fused multiply-add" in found.sentence


def test_a_composition_shows_its_kernels():
    found = kernels.explain("outer", shape=(20, 30))
    assert [part.kind for part in found.parts] == ["composition", "machine code"]
    assert found.parts[0].note == "backend numba has no outer of its own: it runs multiply"


# ---- the command --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words, message", (
    ("explain sofmax", "unknown kernel 'sofmax': did you mean 'softmax'"),
    ("explain matmul --shape 3x4", "matmul: shape is 3x4, expected 3 lengths, such as 256x128x64"),
    ("explain softmax --shape 8", "softmax: shape is 8, expected 2 lengths, such as 256x128"),
    ("explain exp --shape 0x4", "exp: shape is 0x4, expected lengths from 1 on"),
    ("explain exp --shape 100000x100000", "at most 16,777,216 elements"),
    ("explain exp --dtype float16", "unknown dtype 'float16': expected float32 or float64"),
    ("explain exp --simd-width 5", "simd_width is 5, expected one of 1, 4, 8, 16"),
    ("explain exp --backend numby", "unknown backend 'numby': did you mean 'numpy' or 'numba'"),
    ("explain exp --backend numpy --threads 2", "backend 'numpy' has no option 'threads'"),
    ("explain linear --set activation=glu", "linear: activation is 'glu', expected one of identity"),
    ("explain linear --set activatoin=gelu", "linear has no option 'activatoin': did you mean 'activation'"),
    ("explain sum --set axis=up", "sum: axis is 'up', expected a number"),
    ("explain sum --set axis=5", "sum: axis is 5, expected None or 0 or 1"),
))  # fmt: skip
def test_the_command_refuses(words, message, capsys):
    assert main(words.split()) == 2
    written = capsys.readouterr()
    assert message in written.err and written.err.count("\n") == 1 and not written.out


@pytest.mark.parametrize("words", ("explain exp --shape 3xfour", "explain exp --set axis", "explain", "explian exp"))
def test_the_parser_refuses(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    assert stopped.value.code == 2 and "error:" in capsys.readouterr().err


def test_a_backend_without_its_fused_kernels_still_shows_its_code():
    text = kernels.explain("exp", "numba", fused=False).text()
    assert "machine code" in text and "bytecode" not in text


def test_the_machine_is_described_with_its_ceilings(capsys, monkeypatch):
    known = hardware.Ceilings("float32", 1, {1: 10.0, 8: 80.0}, dict.fromkeys(hardware.LEVELS, 7.0), {})
    monkeypatch.setattr(hardware, "measure", lambda dtype, threads: replace(known, threads=threads))
    monkeypatch.setattr(hardware, "cpu_count", lambda: 2)
    assert main(["machine"]) == 0
    printed = capsys.readouterr().out
    assert hardware.as_lines(hardware.description())[0].split(";")[0] in printed
    for said in (
        "1 thread  2 threads",
        "GFLOP/s, 8 lanes        80         80",
        "GB/s, memory             7          7",
    ):
        assert said in printed


def test_the_command_writes(tmp_path, capsys):
    assert main(f"explain relu --json {tmp_path / 'relu.json'} --loops all".split()) == 0
    text = capsys.readouterr().out
    assert text.startswith("relu: out = max(x, 0)") and "The loop where the call spends its time" in text
    loops = json.loads((tmp_path / "relu.json").read_text())["parts"][0]["loops"]
    assert all(line["instruction"].split()[0] in text for loop in loops if loop["innermost"] for line in loop["lines"])
    assert main(["list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(kernels.DECLARATIONS)
    assert main(f"explain relu --json {tmp_path}".split()) == 2  # a folder


def test_without_numba_the_command_says_what_to_install(tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('No module named numba', name='numba')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()])}
    command = [sys.executable, "-m", "kernels", "explain", "softmax"]
    run = finished(command, env=environment)
    assert run.returncode == 1 and "pip install numba" in run.stderr and "Traceback" not in run.stderr
    assert run.stdout.startswith("softmax: out_ij = e**x_ij")
    run = finished([*command, "--backend", "numpy"], env=environment, check=True)
    assert "exp: ufunc" in run.stdout


def test_kernel_signature_is_the_listings_default():
    assert Machine(1, 1).recipe("exp", "f")[2] == KERNEL


def straight(a, b):
    c = a + b
    return c * a


def summed(n):
    s = 0
    for i in range(n):
        s += i
    return s


def test_steps_are_the_bytecode_that_this_python_has():
    def steps(function, *operands):
        return sum(counted_steps(function, operands, (os.path.dirname(__file__),)).values())

    def written(instructions):
        return sum(i.opname not in ("RESUME", "CACHE", "EXTENDED_ARG", "END_FOR", "POP_ITER") for i in instructions)

    assert steps(straight, 1, 2) == steps(straight, 1, 2) == written(dis.get_instructions(straight))
    body = list(dis.get_instructions(summed))
    first = next(i for i, found in enumerate(body) if found.opname == "FOR_ITER")
    last = next(i for i, found in enumerate(body) if found.opname.startswith("JUMP_BACKWARD"))
    assert steps(summed, 20) - steps(summed, 10) == 10 * written(body[first : last + 1])
