"""Which domain a network works for: a scope that ends, not a state that somebody forgets to set."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

from .unknown import UnknownError


class ActiveDomain:
    """The domain that the domain-specific parts of one network serve at the moment.

    It is the domain of the innermost :meth:`scope`. Outside of every scope it is ``default`` where
    that is set, or the only domain of the network. A network and all its domain-specific batch
    norms share one object.

    Args:
        names: Names of the network's domains, at least one.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)
        self._default: str | None = None
        self._scopes: list[str] = []
        self._latest: str | None = None

    def __getstate__(self) -> dict:
        """Return what is copied and pickled: no scope, because in the copy nothing would end it."""
        return {**self.__dict__, '_scopes': [], '_latest': None}

    def __repr__(self) -> str:
        """Return the default as Python code: so a config that holds this object can be written."""
        return repr(self._default)

    @property
    def default(self) -> str | None:
        """Name of the domain that is active outside of every scope, or None.

        Raises:
            ValueError: If it is set to a domain that does not exist.
        """
        return self._default

    @default.setter
    def default(self, name: str | None) -> None:
        if name is not None:
            self.check(name)
        self._default = name

    @property
    def name(self) -> str:
        """Name of the active domain.

        Raises:
            UnknownError: Outside of every scope, if there are several domains and no default.
        """
        if self._scopes:
            return self._scopes[-1]
        if self.again:
            return self._latest
        if self._default is not None:
            return self._default
        if len(self.names) == 1:
            return self.names[0]
        raise UnknownError(
            f'no domain is active, but this network has the domains {self.names}, which differ in '
            'head, classes and batch norm statistics; call it inside of '
            f'`with model.active({self.names[0]!r}):`, or {self._how_to_set_the_default()}'
        )

    @property
    def again(self) -> bool:
        """Whether activation checkpointing runs a pass again: in backward, after its scope."""
        ended = not self._scopes and self._latest is not None
        return ended and torch._C._current_graph_task_id() != -1

    def _how_to_set_the_default(self) -> str:
        first = self.names[0]
        return (
            f'set the default once: `model.default_domain = {first!r}` in Python, '
            f'`--cfg-options model.default_domain={first}` for a tool'
        )

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Make a domain the active one; scopes may be nested.

        Args:
            name: One of ``names``.

        Raises:
            ValueError: If there is no such domain.
        """
        self.check(name)
        self._scopes.append(name)
        try:
            yield
        finally:
            self._latest = self._scopes.pop()

    def check(self, name: str | None) -> None:
        """Check that a domain of this name exists.

        Raises:
            ValueError: If it does not, or there is no name.
        """
        if name is None:
            raise ValueError(
                f'no domain is named, expected one of {self.names}: say it in the metainfo of the '
                f'image, or {self._how_to_set_the_default()}'
            )
        if name not in self.names:
            raise ValueError(f'domain {name!r} is not in this model, expected one of {self.names}')
