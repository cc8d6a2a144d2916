"""Batch norms folded into the convolutions before them, as in the published weights of MitoNet."""

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from planewise.models.panoptic_deeplab import PanopticDeepLab, PanopticNetwork, PanopticUNet
from planewise.models.resnet import Bottleneck
from planewise.models.unet import ResidualBlock


def fold_batch_norms(network: PanopticNetwork) -> PanopticNetwork:
    """Fold batch norms into the convolutions before them, in place, exactly where the published export does.

    The batch norms after separable convolutions stay. A convolution followed by a ReLU becomes one module with it,
    which is why published names have one level more (``encoder.conv1.0.weight``). Returns ``network``; a network
    without a published form is not changed.
    """
    if not network.published_form:
        return network
    training = network.training
    network.eval()
    _fold_members(network.encoder, "conv1", "bn1", "relu")
    for module in network.encoder.modules():
        if isinstance(module, Bottleneck):
            _fold_members(module, "conv1", "bn1", "relu1")
            _fold_members(module, "conv2", "bn2", "relu2")
            _fold_members(module, "conv3", "bn3", "")
        if isinstance(module, ResidualBlock):
            _fold_members(module, "conv1", "bn1", "relu1")
            _fold_members(module, "conv2", "bn2", "")
        if isinstance(module, Bottleneck | ResidualBlock) and isinstance(module.downsample, nn.Sequential):
            _fold_members(module.downsample, "0", "1", "")
    if isinstance(network, PanopticDeepLab):  # in the mini variant only the encoder is published folded
        for part in (network.semantic_decoder, network.instance_decoder, network.semantic_pr):
            for module in list(part.modules()):
                if isinstance(module, nn.Sequential):
                    _fold_sequence(module)
    if isinstance(network, PanopticUNet):
        for module in list(network.decoder.modules()):
            if isinstance(module, nn.Sequential):
                _fold_sequence(module)
    return network.train(training)


def _fold_sequence(sequence: nn.Sequential) -> None:
    """Fold [.., convolution, batch norm or nothing, ReLU, ..]."""
    kinds = [type(child) for child in sequence]
    for i, kind in enumerate(kinds):
        if kind not in (nn.Conv1d, nn.Conv2d):
            continue
        norm = kinds[i + 1 : i + 2] == [nn.BatchNorm2d]
        relu = i + 1 + norm
        if kinds[relu : relu + 1] == [nn.ReLU]:
            _fold_members(sequence, str(i), str(i + 1) if norm else "", str(relu))


def _fold_members(parent: nn.Module, conv: str, norm: str, relu: str) -> None:
    """Replace member ``conv`` by itself with ``norm`` folded in and ``relu`` appended; empty names are left out."""
    folded: nn.Module = getattr(parent, conv)
    if norm:
        folded = fuse_conv_bn_eval(folded, getattr(parent, norm))  # type: ignore[type-var]
        folded.requires_grad_(True)  # the new bias comes frozen
        setattr(parent, norm, nn.Identity())
    if relu:
        folded = nn.Sequential(folded, nn.ReLU(inplace=True))
        setattr(parent, relu, nn.Identity())
    setattr(parent, conv, folded)
