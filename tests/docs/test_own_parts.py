"""The tutorial's blocks run one after the other, as a reader would paste them."""

import re
import warnings

from repository import ROOT


def test_the_blocks_run():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/own-parts.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    names = {"__name__": "tutorial"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the tutorial's steps are replayed
        exec("\n".join(blocks), names)
    assert names["trainer"].program is not None
    assert len(names["model"].parameters()) == 3 * 3 + 2
