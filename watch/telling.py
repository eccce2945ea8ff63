"""What the watch found, as it is told: in one sentence, with its numbers."""

from typing import Any, cast

from abtest.wording import moment
from agent.findings import Finding, State
from watch.advance import Finding as Alarm
from watch.distances import FEWEST, mean_distance
from watch.series import mean_of


def told(alarm: Alarm, as_of: int) -> Finding:
    """An alarm as it stands at the end of a pane (epoch seconds)."""
    base = alarm.baseline._asdict()
    facts: dict[str, Any] = {"side": alarm.side, "onset": alarm.onset}
    facts |= {f"baseline_{part}": value for part, value in base.items()}
    facts["deploys"] = list(alarm.deploys)
    return Finding(
        kind="drift",
        name=tuple(name_of(alarm).items()),
        state=cast(State, alarm.state),
        severity="warning",
        began=alarm.began,
        as_of=as_of,
        summary=_ended(alarm, as_of) if alarm.state == "resolved" else _rings(alarm),
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
    since = "" if alarm.state == "firing" else f"; {alarm.state} by now"
    return (
        f"{_whose(alarm)} {_moved(alarm)} since {moment(alarm.onset)}; it rang at"
        f" {moment(alarm.began)}, with evidence of {alarm.log_statistic:.1f} nats where"
        f" {alarm.log_threshold:.1f} ring{since}{_far(alarm)}{_deployed(alarm)}"
    )


def _far(alarm: Alarm) -> str:
    """Of an axis how far the mean of the texts moved, once there are calls that tell."""
    if alarm.n < FEWEST or not mean_of(alarm.name):
        return ""
    far = mean_distance(alarm.effect, alarm.n, alarm.baseline)
    return (
        f"; the texts' mean moved by {far.value:.2f} of a text's standard deviation"
        f" ({far.by_chance:.2f} by chance)"
    )


def _deployed(alarm: Alarm) -> str:
    return f"; {', '.join(alarm.deploys)} came with it" if alarm.deploys else ""


def _ended(alarm: Alarm, as_of: int) -> str:
    band = f"[{alarm.baseline.lower:.4f}, {alarm.baseline.upper:.4f}]"
    return (
        f"{_whose(alarm)} is back in its band {band} at {moment(as_of)}; it {_moved(alarm)} since"
        f" {moment(alarm.onset)}"
    )


def _moved(alarm: Alarm) -> str:
    rose, mean = alarm.side == "above", alarm.baseline.mean
    if not alarm.n:
        return f"{'rose above' if rose else 'fell below'} its mean of {mean:.4f}"
    now, lower, upper = (mean + part for part in (alarm.effect, alarm.lower, alarm.upper))
    return (
        f"{'rose' if rose else 'fell'} from a mean of {mean:.4f} to {now:.4f}"
        f" (95 % [{lower:.4f}, {upper:.4f}], {alarm.n} calls)"
    )


def _whose(alarm: Alarm) -> str:
    name = name_of(alarm)
    view = f" ({name['view']})" if "view" in name else ""
    group = (name[part] for part in ("service", "model", "variant", "segment") if part in name)
    return f"{name['metric']}{view} of {' / '.join(group)}"
