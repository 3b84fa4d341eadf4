"""The summary of a stream for people, line by line."""

from __future__ import annotations

from lipdeploy.core.figures import percent_at_least
from lipdeploy.runtime.means import BudgetShares
from lipdeploy.runtime.report import StreamReport
from lipdeploy.runtime.status import SinkState


def summary(report: StreamReport) -> str:
    """The report for people, line by line."""
    stages = ", ".join(f"{ms:.1f} ms {name}" for name, ms in report.stage_ms.items())
    latency = ", ".join(f"{name} {ms:.1f}" for name, ms in report.latency_ms.items())
    lines = [
        f"Speed: {stages} per frame at shape {report.model_shape}",
        _frames(report),
        f"Latency: {latency} ms from capture to sink; {report.fps:.1f} frames a second; "
        f"{report.certification_time_share:.0%} of the time in certification",
        *_outages(report),
        *_sinks(report.sinks),
        *_drift(report),
        _share(report),
        *_other_budgets(report),
        *_notes(report),
    ]
    saved = f"Results saved to {', '.join(report.saved)}" if report.saved else "Nothing was saved"
    return "\n".join([*lines, saved])


def _frames(report: StreamReport) -> str:
    withheld = ", ".join(f"{count} {reason}" for reason, count in report.withheld.items())
    counts = (
        f"Frames: {report.frames_in} in, {report.shown} shown, {report.dropped} dropped, "
        f"{report.stale} stale, {sum(report.withheld.values())} withheld"
    )
    missing = f", {report.missing} missing at the source" if report.missing else ""
    return counts + (f" ({withheld})" if withheld else "") + missing


def _outages(report: StreamReport) -> list[str]:
    """Stretches without a claim, where there were any."""
    outages = report.outages
    if not outages.count:
        return []
    recovery = (
        f"; first good frame {outages.recovery_s:.2f} s after the last fault, "
        f"{outages.longest_recovery_s:.2f} s at worst"
        if outages.recovery_s is not None
        else ""
    )
    silent = sum(report.placeholders.values())
    told = f"; the sinks were told {silent} times that no frame came" if silent else ""
    state = ", the last one goes on" if outages.open else ""
    return [
        f"Outages: {outages.count}, {outages.total_s:.2f} s in all, "
        f"{outages.longest_s:.2f} s the longest{state}{recovery}{told}"
    ]


def _sinks(sinks: tuple[SinkState, ...]) -> list[str]:
    """Sinks that missed something; the others need no words."""
    return [
        f"Sink {sink.name}: {sink.written} written, {sink.dropped} dropped"
        + (f"; failed: {sink.error}" if sink.error else "")
        for sink in sinks
        if sink.dropped or sink.error
    ]


def _drift(report: StreamReport) -> list[str]:
    """What the comparison with the reference precision found, where one was asked for."""
    drift = report.drift
    if not drift.every:
        return []
    failed = f", {drift.failed} could not be compared" if drift.failed else ""
    found = f"; DRIFT on {drift.alarms}: {drift.first}" if drift.alarms else "; no drift"
    return [
        f"Audit: {drift.checked} frames compared with float64, {drift.skipped} skipped while "
        f"another was{failed}{found}"
    ]


def _share(report: StreamReport) -> str:
    if report.certified_share is None:
        return f"No stability is claimed (level {report.level})"
    source = (
        f"eps {report.eps_source!r} at the source"
        if report.eps_source is not None
        else f"none at the source: {report.eps_source_reason}"
    )
    collective = percent_at_least(report.certified_share)
    pixelwise = percent_at_least(report.pixelwise_share or 0.0)
    return (
        f"Certified-stable share ({report.level}): {collective}% collective, "
        f"{pixelwise}% pixelwise, at eps {report.eps!r} "
        f"(l2, network input; {source})"
    )


def _other_budgets(report: StreamReport) -> list[str]:
    """Where eps was changed, the figures above are of the last one only: say so."""
    if not report.eps_changes:
        return []
    others = [_budget(shares) for shares in report.by_eps if shares.eps != report.eps]
    frames = sum(shares.frames for shares in report.by_eps if shares.eps == report.eps)
    return [
        f"eps was changed {report.eps_changes} times: the share is over the {frames} frames "
        f"at eps {report.eps!r}; before: {'; '.join(others)}"
    ]


def _budget(shares: BudgetShares) -> str:
    if shares.certified_share is None:
        return f"eps {shares.eps!r} nothing claimed of {shares.frames} frames"
    return (
        f"eps {shares.eps!r} {percent_at_least(shares.certified_share)}% of {shares.frames} frames"
    )


def _notes(report: StreamReport) -> list[str]:
    """What weakens the figures."""
    notes = []
    if report.allow_still:
        notes.append("Note: --allow-still: repeated pictures were not taken for a frozen camera")
    # Rounding is a property of the engine: say so where another one was measured.
    if report.level == "statistical" and report.measured_on != report.engine:
        measured = report.measured_on or "an unknown engine"
        notes.append(
            f"Note: rounding was measured on {measured}, this is {report.engine}; "
            "export on this device to measure it here"
        )
    return notes
