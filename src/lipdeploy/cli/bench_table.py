"""How the figures of `lipdeploy bench` are told."""

from __future__ import annotations

from lipdeploy.cli.plain_text import printable
from lipdeploy.runtime.bench import SOURCE_SIZE, BenchReport, EngineFigures, fastest


def table(report: BenchReport) -> str:
    """Engines, then the stages of a stream, then the machine."""
    return "\n".join([*_engines(report), "", *_stages(report), "", *_machine(report)])


def _engines(report: BenchReport) -> list[str]:
    width = max(len(each.engine) for each in report.figures.values())
    best = report.figures[fastest(report)].model.median_ms
    head = f"{'ms':>9}{'cpu ms':>9}{'bare ms':>9}{'head':>7}{'x best':>8}{'load ms':>9}  level"
    lines = [f"{'engine':{width}}{head}"]
    for each in report.figures.values():
        times = f"{each.model.median_ms:9.2f}{each.model.median_cpu_ms:9.2f}{_bare(each)}"
        ratio = f"{each.model.median_ms / best:8.2f}{each.load_ms:9.0f}"
        lines.append(f"{each.engine:{width}}{times}{ratio}  {each.level}")
    doubts = [f"{e.engine}: the model {e.doubt}" for e in report.figures.values() if e.doubt]
    return lines + [printable(doubt) for doubt in doubts]


def _bare(figures: EngineFigures) -> str:
    share = figures.head_share
    if figures.bare is None or share is None:
        return f"{'-':>9}{'-':>7}"
    return f"{figures.bare.median_ms:9.2f}{share * 100:+6.0f}%"


def _stages(report: BenchReport) -> list[str]:
    figures = report.figures
    names = dict.fromkeys(name for each in figures.values() for name in each.stages_ms)
    size = "x".join(map(str, SOURCE_SIZE))
    lines = [f"stage of a stream at {size}, ms" + "".join(f"{name:>18}" for name in figures)]
    for name in names:
        values = (each.stages_ms.get(name) for each in figures.values())
        cells = "".join(f"{'-' if v is None else f'{v:.2f}':>18}" for v in values)
        lines.append(f"{name:30}{cells}")
    return lines


def _machine(report: BenchReport) -> list[str]:
    found = report.machine
    shape = "x".join(map(str, report.shape[1:3]))
    threads = report.options.threads or "as the engine chooses"
    return [
        f"{printable(report.model)} at {shape}; medians of {report.options.rounds} calls in turns; "
        f"threads: {threads}",
        f"{found['processor']}, {found['cores']} cores, {found['system']}, Python "
        f"{found['python']}; load {found['load_before']} before the run",
    ]
