"""What the options of every command have in common."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator

from planewise.errors import PlanewiseError

Job = TypeVar("Job", bound="Options")


class Options(BaseModel):
    """A job's options: the command line, Python's argument and what is stored are this one object.

    A value that is not allowed is a PlanewiseError that names the option.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def part(self, kind: type[Job], **more: Any) -> Job:
        """Return the options of another command: those of these that it has too, and ``more``."""
        return kind(**({name: value for name, value in self if name in kind.model_fields} | more))

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_plainly(cls, values: Any, handler: ModelWrapValidatorHandler["Options"]) -> "Options":
        try:
            return handler(values)
        except ValidationError as error:
            raise PlanewiseError("; ".join(_plain(problem) for problem in error.errors())) from None


def _plain(problem: Any) -> str:
    """Return "--option value: reason"."""
    option = ".".join(str(part) for part in problem["loc"][:1])
    value = problem["input"]
    shown = " ".join(map(str, value)) if isinstance(value, tuple | list) else value
    ours = problem["msg"].removeprefix("Value error, ")
    return f"--{option} {shown}: {ours if problem['type'] == 'value_error' else ours.lower()}"
