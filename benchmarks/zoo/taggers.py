"""Sequence taggers: embedding, a recurrent layer, a class for each token."""

from torch import Tensor, nn


class Tagger(nn.Module):
    """`cell` is nn.LSTM or nn.GRU, batch first."""

    def __init__(self, cell: type[nn.Module], *, bidirectional: bool = False, width: int = 64, tags: int = 9) -> None:
        super().__init__()
        self.embedding = nn.Embedding(500, width)
        self.recurrent = cell(width, width, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(width * (2 if bidirectional else 1), tags)

    def forward(self, tokens: Tensor) -> Tensor:
        states, _ = self.recurrent(self.embedding(tokens))
        return self.head(states)
