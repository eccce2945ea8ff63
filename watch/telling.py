"""What the watch found, as it is told: in one sentence, with its numbers."""

from abtest.wording import moment
from agent.findings import Finding
from watch.advance import Finding as Alarm


def told(alarm: Alarm, as_of: int) -> Finding:
    """An alarm as it stands at the end of a pane (epoch seconds)."""
    resolved, base = alarm.state == "resolved", alarm.baseline._asdict()
    facts = {"side": alarm.side, "onset": alarm.onset}
    facts |= {"log_statistic": alarm.log_statistic, "log_threshold": alarm.log_threshold}
    facts |= {f"baseline_{part}": value for part, value in base.items()}
    return Finding(
        kind="drift",
        name=tuple(name_of(alarm).items()),
        state="resolved" if resolved else "firing",
        severity="warning",
        began=alarm.began,
        as_of=as_of,
        summary=_ended(alarm, as_of) if resolved else _rings(alarm),
        n=alarm.n,
        statistic=alarm.log_statistic,
        threshold=alarm.log_threshold,
        effect=alarm.effect,
        lower=alarm.lower,
        upper=alarm.upper,
        facts=tuple(facts.items()),
    )


def name_of(alarm: Alarm) -> dict[str, str]:
    """What an alarm is about, without what is empty or the mean itself."""
    held = alarm.name._asdict().items()
    return {part: value for part, value in held if value and (part, value) != ("view", "level")}


def _rings(alarm: Alarm) -> str:
    moved = "rose" if alarm.side == "above" else "fell"
    return (
        f"{_whose(alarm)} {moved} from a mean of {alarm.baseline.mean:.4f}{_now(alarm)} since"
        f" {moment(alarm.onset)}; it rang at {moment(alarm.began)}, with evidence of"
        f" {alarm.log_statistic:.1f} nats where {alarm.log_threshold:.1f} ring"
    )


def _ended(alarm: Alarm, as_of: int) -> str:
    band = f"[{alarm.baseline.lower:.4f}, {alarm.baseline.upper:.4f}]"
    return (
        f"{_whose(alarm)} is back in its band {band} at {moment(as_of)}; its mean of"
        f" {alarm.baseline.mean:.4f} had gone{_now(alarm)} since {moment(alarm.onset)}"
    )


def _now(alarm: Alarm) -> str:
    if not alarm.n:
        return f" and no call came after the alarm, {alarm.side} its band"
    mean, lower, upper = (
        alarm.baseline.mean + part for part in (alarm.effect, alarm.lower, alarm.upper)
    )
    return f" to {mean:.4f} (95 % [{lower:.4f}, {upper:.4f}], {alarm.n} calls)"


def _whose(alarm: Alarm) -> str:
    name = name_of(alarm)
    view = f" ({name['view']})" if "view" in name else ""
    group = (name[part] for part in ("service", "model", "variant", "segment") if part in name)
    return f"{name['metric']}{view} of {' / '.join(group)}"
