"""JSON for other programs: it has no NaN and no infinity, so these become null."""

from __future__ import annotations

import json
import math
from typing import Any


def json_text(fields: Any) -> str:
    """Indented JSON that every parser reads."""
    return json.dumps(_finite(fields), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
