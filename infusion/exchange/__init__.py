"""What leaves and what comes in: claims and encounters as values, and their formats. No framework, no database."""

from collections.abc import Sequence


class Unwritable(Exception):
    """Why no byte was written: a sentence for each reason, naming the claim and what to do."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = tuple(sentences)
