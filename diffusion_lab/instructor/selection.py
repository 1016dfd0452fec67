"""Chooses the students whom `--only` names."""

from collections.abc import Iterable
from dataclasses import dataclass

from diffusion_lab.instructor.names import did_you_mean, spellings
from diffusion_lab.instructor.platforms.roster import Person
from diffusion_lab.instructor.submissions import Submission


@dataclass(frozen=True)
class Only:
    """The students whose name or ID contains a text.

    Args:
        text: part of a name or an ID, in any case.
        people: on the roster, whose names and IDs count as well.
    """

    text: str
    people: Iterable[Person] = ()

    def __call__(self, submission: Submission) -> bool:
        """True if the submission is from one of these students."""
        if self._contained_in(submission.student, *submission.id.split(", ")):
            return True
        return any(
            self._contained_in(person.name, *person.identifiers, *person.logins)
            and (
                {*submission.id.lower().split(", ")} & person.identifiers
                or spellings(submission.student) & spellings(person.name)
            )
            for person in self.people
        )

    def question(self, submissions: Iterable[Submission]) -> str:
        """Returns a question about whom a misspelt text may mean, or ""."""
        students = [*submissions, *self.people]
        names = [each.name if isinstance(each, Person) else each.student for each in students]
        words = [word.strip(",") for name in names for word in name.split()]
        return did_you_mean(self.text, [*(each.id for each in students), *words, *names])

    def _contained_in(self, *names: str) -> bool:
        return any(self.text.casefold() in name.casefold() for name in names)
