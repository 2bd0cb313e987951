from dataclasses import dataclass, field


@dataclass(frozen=True)
class Example:
    args: tuple = ()
    kwargs: dict = field(default_factory=dict)
    assumed: str = ""
