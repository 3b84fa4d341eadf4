"""The comparison of App. D as a table, from rows whose means are known."""

import pytest

from lipdeploy.training.sweep_record import Row
from lipdeploy.training.sweep_table import effect_line, markdown_table, paired_means


def row(arch: str, loss: str, miou: str | None, **figures: str) -> Row:
    known = {"miou": miou} if miou else {}
    state = "done" if miou else "failed"
    return {"arch": arch, "loss": loss, "run": "x", "state": state, **known, **figures}


ROWS = [
    row("deeplabv3", "hkr", "0.70"),
    row("deeplabv3", "cosine", "0.50"),
    row("deeplabv3", "certificate", "0.99"),
    row("unet", "hkr", "0.66"),
    row("unet", "cosine", "0.48"),
    row("unet", "certificate", None),
]


def test_means_are_over_what_all_values_have() -> None:
    """The 0.99 has no partner and must not count."""
    means, count = paired_means(ROWS, "arch", "miou", ["loss"])
    assert count == 2
    assert means == {"deeplabv3": pytest.approx(0.60), "unet": pytest.approx(0.57)}
    line = effect_line("arch", "mIoU", means, count)
    assert line == "arch: mean mIoU over 2 combinations: deeplabv3 60.0 (+0.0), unet 57.0 (-3.0)."


def test_no_common_setting_is_said() -> None:
    means, count = paired_means([ROWS[2], ROWS[3]], "arch", "miou", ["loss"])
    assert (means, count) == ({}, 0)
    assert "no combination" in effect_line("arch", "mIoU", means, count)


def test_table_shows_percent_dashes_and_states() -> None:
    full = {"crpa_0.1": "0.4567", "stability50": "0.31234", "parameters": "1234567"}
    text = markdown_table([row("unet", "hkr", "0.66", **full), ROWS[0], ROWS[5]], ["arch", "loss"])
    head, rule, *body = text.splitlines()
    assert head.startswith("| arch | loss | mIoU | pixel accuracy | CRPA@0.1 | CRPA@0.25 |")
    assert rule.count("|") == head.count("|")
    assert body == [
        "| unet | hkr | 66.0 | - | 45.7 | - | 0.312 | 1,234,567 | - |",
        "| deeplabv3 | hkr | 70.0 | - | - | - | - | - | - |",
        "| unet | certificate | failed | - | - | - | - | - | - |",
    ]
