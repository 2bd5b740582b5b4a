"""How modules learn where training stands: ramp-ups and keyed draws depend on it."""

from torch import nn

from cct_mm.schedules import Progress

from .unknown import SaysWhy, UnknownError


class NeedsProgress(SaysWhy):
    """Mixin of modules whose output depends on the iteration; ``TrainingProgressHook`` sets it."""

    _progress: Progress | None = None

    @property
    def progress(self) -> Progress:
        """Where training stands.

        Raises:
            UnknownError: If nobody has set it.
        """
        if self._progress is None:
            raise UnknownError(
                f'{type(self).__name__} does not know the iteration, which its ramp-up and random '
                "draws need: add dict(type='TrainingProgressHook') to custom_hooks, or call "
                'cct_mm.models.progress.set_progress(model, Progress(...)) in your own loop'
            )
        return self._progress


def set_progress(model: nn.Module, progress: Progress) -> None:
    """Tell every module of ``model`` that needs it where training stands."""
    for module in model.modules():
        if isinstance(module, NeedsProgress):
            module._progress = progress
