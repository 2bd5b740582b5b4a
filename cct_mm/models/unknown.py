"""Attributes that have no value yet: they say why, and inspecting the object stays safe."""

from typing import Any


class UnknownError(AttributeError, RuntimeError):
    """An attribute has no value yet, and this says what gives it one.

    ``inspect.getmembers``, ``torch.jit.trace`` and ``torch.export`` ask an object for everything it
    has, and take what raises an ``AttributeError`` for absent.
    """


class SaysWhy:
    """Mixin of modules with properties that raise an :class:`UnknownError`.

    Python asks ``__getattr__`` for what raised an ``AttributeError``, and that of ``nn.Module``
    would say instead that there is no such attribute.
    """

    def __getattr__(self, name: str) -> Any:
        """Return what ``nn.Module`` finds, or evaluate the property again, for its own error."""
        found = getattr(type(self), name, None)
        return found.fget(self) if isinstance(found, property) else super().__getattr__(name)
