"""Every error that lipdeploy raises on purpose.

Each message says what was got, what was expected and what to do, in one line; the command line
prints it without a traceback and exits with the error's `exit_code`.

    LipdeployError              1  failure at run time
    ├── InputError              2  a flag, data set, checkpoint or frame that cannot be used
    ├── VerificationError       3  a model that cannot be proved to be what it claims
    ├── SourceError             4  a video source that cannot be opened
    ├── SourceLostError         5  a video source that broke off
    └── ArtefactError           6  an artefact that does not fit this device
"""

from __future__ import annotations

from typing import ClassVar


class LipdeployError(Exception):
    """Base of all errors; `exit_code` is the process exit code of the command line."""

    exit_code: ClassVar[int] = 1


class InputError(LipdeployError):
    """A flag, file, data set, checkpoint or frame that the user must change."""

    exit_code = 2


class VerificationError(LipdeployError):
    """A model whose certificate cannot be proved from its file."""

    exit_code = 3


class SourceError(LipdeployError):
    """A video source that cannot be opened."""

    exit_code = 4


class SourceLostError(LipdeployError):
    """A video source that delivered frames and then failed."""

    exit_code = 5


class ArtefactError(LipdeployError):
    """An artefact that does not fit this device, for example a missing engine."""

    exit_code = 6
