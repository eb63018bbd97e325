"""Near misses, for messages about a name that does not exist."""

import difflib
from collections.abc import Iterable

_SHOWN = 20


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The known names nearest to `word` as the end of a sentence, or all of them when none is near."""
    candidates = list(known)
    by_lower_case = {candidate.lower(): candidate for candidate in reversed(candidates)}
    near = [by_lower_case[lower] for lower in difflib.get_close_matches(word.lower(), by_lower_case, n=3, cutoff=0.6)]
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    if not candidates:
        return "there are none"
    more = f" and {len(candidates) - _SHOWN} more" if len(candidates) > _SHOWN else ""
    return f"there {'is' if len(candidates) == 1 else 'are'} {', '.join(map(repr, candidates[:_SHOWN]))}{more}"
