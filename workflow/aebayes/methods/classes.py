"""What methods that learn classes share: labelled minibatches, and noise on what is encoded."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from aebayes.methods.base import Batch, Method
from aebayes.streams import Streams


class ClassMethod(Method):
    """A method whose encoder has q(y|x), and which knows the classes of some images.

    `objective.input_noise` is the standard deviation of the noise added in training.
    """

    input_noise = 0.0
    takes_labelled = True

    def draw_input_noise(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """What is added to the images that the encoder sees, (R, B, X); nothing if nothing is."""
        if not self.input_noise:
            return ()
        return (self.input_noise * streams.normal(*batch.x.shape[1:]),)

    def draw_labelled(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """Labelled images (R, L, X) with their classes (R, L), and input noise."""
        known = batch.labelled
        return known.x, known.labels, *self.draw_input_noise(known, streams)

    def classification_loss(
        self, x: Tensor, known: Tensor, labels: Tensor, *noise: Tensor
    ) -> Tensor:
        """−E log q(y|x) over labelled images (R, L, X): -> (R,); of x nothing is read."""
        logits = self.model.encoder.logits(sum(noise, known))  # (R, L, C)
        losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return losses.view_as(labels).mean(1)
