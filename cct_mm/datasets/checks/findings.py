"""What a check of the data returns."""

from dataclasses import dataclass, field


@dataclass
class Finding:
    """Something that was found."""

    where: str  # dataloader, domain and source
    kind: str  # what it is about, in a word or two
    message: str  # a sentence with the fix
    file: str | None = None  # the file that it is about

    def __str__(self) -> str:
        """Return place and message."""
        return f'{self.where}: {self.message}'


@dataclass
class Findings:
    """What checks have found: what training refuses or makes it worthless, and what is odd."""

    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def add(self, other: 'Findings') -> None:
        """Add what another check has found."""
        self.problems += other.problems
        self.notes += other.notes
