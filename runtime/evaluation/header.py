"""What a spool says of itself: which model, questions and images its records are of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lipdeploy.core.manifest import Manifest, manifest_from_metadata
from lipdeploy.core.pair import Pair
from lipdeploy.runtime.evaluation.questions import Questions, questions_from_json

SCHEMA = 4


@dataclass(frozen=True)
class Header:
    """Everything that must agree between spools that are summed up together, and the shard.

    Attributes:
        manifest: of the model file; level `none` where nothing may be claimed.
        content_sha256: of the model file.
        questions: budgets and targets.
        data: name of the data set file.
        examples_sha256: of the examples of the split, in order; see `examples_digest`.
        split: of the data set.
        images: number of images of the split, over all shards.
        roi: `name` and `sha256` of the region of interest, or None.
        shard: (i, n): the spool holds images i - 1, i - 1 + n, i - 1 + 2 n, ...
    """

    manifest: Manifest
    content_sha256: str
    questions: Questions
    data: str
    examples_sha256: str
    split: str
    images: int
    roi: dict[str, str] | None = None
    shard: tuple[int, int] = (1, 1)

    @property
    def indices(self) -> range:
        """The images of this spool, in order."""
        return range(self.shard[0] - 1, self.images, self.shard[1])

    @property
    def model(self) -> tuple[str, dict[str, str]]:
        """What tells one model from another: the file, and what may be claimed of it."""
        return self.content_sha256, self.manifest.to_metadata()

    @property
    def claims(self) -> bool:
        """Whether anything is claimed of the model at all."""
        return self.manifest.numerics.level != "none"

    @property
    def _images(self) -> tuple[str, str]:
        return self.data, self.examples_sha256

    def difference(self, other: Header) -> str:
        """What the two are not alike in, as a plural; empty where they can be summed up."""
        mine, theirs = self.questions, other.questions
        parts = {
            "models": self.model != other.model,
            "budgets (--eps)": mine.eps != theirs.eps,
            "targets (--gamma-accuracy, --gamma-fnr)": mine != theirs,
            "splits": self.split != other.split,
            "data sets (by file, image names and labels)": self._images != other._images,
            "numbers of images": self.images != other.images,
            "regions of interest (--roi)": self.roi != other.roi,
            "numbers of shards": self.shard[1] != other.shard[1],
        }
        return next((what for what, differs in parts.items() if differs), "")

    def to_line(self) -> str:
        """One line of JSON without its end."""
        fields = {
            **vars(self),
            "manifest": self.manifest.to_metadata(),
            "questions": self.questions.to_json(),
        }
        return json.dumps({"schema": SCHEMA, **fields})


def header_from_line(line: str, source: str) -> Header:
    """What `Header.to_line` wrote.

    Raises:
        ValueError, KeyError, TypeError: the line is something else, or of another schema.
        VerificationError: the manifest in it is broken.
    """
    fields: dict[str, Any] = json.loads(line)
    if fields.pop("schema") != SCHEMA:
        raise ValueError(f"another schema than {SCHEMA}")
    fields["manifest"] = manifest_from_metadata(fields["manifest"], source)
    fields["questions"] = questions_from_json(fields["questions"])
    first, last = fields["shard"]
    return Header(**{**fields, "shard": (int(first), int(last))})


def examples_digest(names: Sequence[str], pairs: Sequence[Pair]) -> str:
    """SHA-256 of the images' names and of what the values in their masks stand for.

    Tells two data sets apart wherever they lie, and two that ignore other classes.
    """
    labels = [pair.labels.ids if pair.labels else None for pair in pairs]
    return hashlib.sha256(json.dumps([list(names), labels]).encode()).hexdigest()
