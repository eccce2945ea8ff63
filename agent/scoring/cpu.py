"""What the processor of this machine can do."""

from pathlib import Path


def flags() -> frozenset[str]:
    """The names of its instructions, as Linux has them; elsewhere none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    lines = (line.split() for line in text.splitlines() if line.startswith("flags"))
    return frozenset(next(lines, []))


def multiplies_bfloat16() -> bool:
    """Whether it has AMX for bfloat16, without which float32 is faster."""
    return "amx_bf16" in flags()
