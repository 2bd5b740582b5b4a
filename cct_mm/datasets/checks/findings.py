"""What a check of the data returns."""

from dataclasses import dataclass, field


@dataclass
class Finding:
    """Something that was found.

    Args:
        where: Dataloader, domain and source.
        kind: What it is about, in a word or two.
        message: A sentence with the fix.
        file: The file that it is about, if it is about one.
    """

    where: str
    kind: str
    message: str
    file: str | None = None

    def __str__(self) -> str:
        """Return place and message."""
        return f'{self.where}: {self.message}'


@dataclass
class Findings:
    """What checks have found.

    Args:
        problems: What training would refuse, or would make its results worthless.
        notes: What is odd.
    """

    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def add(self, other: 'Findings') -> None:
        """Add what another check has found."""
        self.problems += other.problems
        self.notes += other.notes
