"""What methods that learn classes share: labelled minibatches, and a loss of theirs."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from aebayes.methods.base import Batch, Method
from aebayes.streams import Streams


class ClassMethod(Method):
    """A method whose encoder has q(y|x), and which knows the classes of some images."""

    takes_labelled = True

    def draw_labelled(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """Labelled images as the encoder sees them (R, L, X), and their classes (R, L)."""
        known = batch.labelled
        return self.draw_seen(known, streams), known.labels

    def classification_loss(self, x: Tensor, known: Tensor, labels: Tensor) -> Tensor:
        """−E log q(y|x) over labelled images (R, L, X): -> (R,); of x nothing is read."""
        logits = self.model.encoder.logits(known)  # (R, L, C)
        losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return losses.view_as(labels).mean(1)
