"""Every default of the package, with its source.

"Authors" is the authors' MXNet code, "paper" is arXiv 1911.05253. Where they differ, the default is
the authors' (REPRODUCTION.md). An experiment is a file in `configs/` whose `get_config()` returns a
`Config`; the command line can override any field. The file is longer than others so that all
defaults are in one file.
"""

from dataclasses import dataclass, field
from typing import Literal

IMAGENET_VID_CLASSES = (
    "airplane", "antelope", "bear", "bicycle", "bird", "bus", "car", "cattle", "dog", "domestic_cat",
    "elephant", "fox", "giant_panda", "hamster", "horse", "lion", "lizard", "monkey", "motorcycle",
    "rabbit", "red_panda", "sheep", "snake", "squirrel", "tiger", "train", "turtle", "watercraft",
    "whale", "zebra",
)  # fmt: skip

RESNET_UNITS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Residual units of stages 2 to 5 by depth."""
LITE_BLOCKS = {
    "efficientnet-lite0": (1, 2, 2, 3, 3, 4, 1),
    "efficientnet-lite1": (1, 3, 3, 4, 4, 5, 1),
    "efficientnet-lite2": (1, 3, 3, 4, 4, 5, 1),
    "efficientnet-lite3": (1, 3, 3, 5, 5, 6, 1),
    "efficientnet-lite4": (1, 4, 4, 6, 6, 8, 1),
}
"""Blocks of stages 1 to 7 by network; stages 4 to 7 are at stride 16."""

Schedule = Literal["offline", "online"]


@dataclass(frozen=True)
class DegradeConfig:
    """Bursts of blur and occlusion that are added to any data set, in training and evaluation alike."""

    share: float = 0.0
    """Mean share of a video's frames that lie in bursts; 0: no bursts."""
    kinds: tuple[Literal["motion_blur", "defocus", "occlusion"], ...] = (
        "motion_blur",
        "defocus",
        "occlusion",
    )
    """Kinds of bursts; every burst has one of them, drawn at random. occlusion: upright bars over
    half of the picture."""
    seed: int = 0
    """Random seed of the bursts."""


@dataclass(frozen=True)
class DataConfig:
    """Location of the pictures, and their conversion to triplets on canvases."""

    root: str = "data/ILSVRC2015"
    """Folder that holds the data set (for imagenet_vid: the one with Annotations, Data, ImageSets)."""
    format: Literal["imagenet_vid", "coco_vid", "mot", "tfds"] = "imagenet_vid"
    """Layout of the data set on disk. tfds: an imagenet_vid tree that `lsts prepare` packed."""
    class_names: tuple[str, ...] = IMAGENET_VID_CLASSES
    """Names of the classes in order; class 0 is the background and is not listed. Empty: all classes
    of the data set, in its order."""
    train_lists: tuple[str, ...] = ("VID_train_15frames", "DET_train_30classes")
    """imagenet_vid, tfds: files in ImageSets without .txt; coco_vid: json files below root, without
    .json; mot: sequence names, optionally with a range of frames counted from 0, end excluded,
    as in PETS09-S2L1:0-500."""
    val_lists: tuple[str, ...] = ("VID_val_videos",)
    """Lists that are evaluated, named as in train_lists."""
    short_side: int = 600
    """Pixels of the short side of a resized picture (authors: SCALES); fewer if the long side would exceed
    long_side."""
    long_side: int = 1000
    """Largest number of pixels of the long side of a resized picture."""
    canvases: tuple[tuple[int, int], ...] = ((608, 1008), (1008, 608))
    """Sizes (height, width) that resized pictures are padded to; the smallest that holds the
    picture is used. All pictures of a batch have the same canvas. Padding keeps shapes static
    and does not change the result."""
    max_objects: int = 64
    """Largest number of annotated objects in a frame; more are dropped with a warning."""
    flip: bool = True
    """Train on the mirror image of every picture too."""
    workers: int = 4
    """Threads that load batches ahead of the device; 0: load every batch when it is needed."""
    max_bad_share: float = 0.01
    """Largest share of samples that cannot be read, counted over the whole run. Such samples are skipped with
    a warning; a larger share stops the run."""
    degrade: DegradeConfig = field(default_factory=DegradeConfig)


@dataclass(frozen=True)
class BackboneConfig:
    """The network, cut in two: low level up to `split` units at stride 16, high level above."""

    network: Literal[
        "resnet",
        "efficientnet-lite0",
        "efficientnet-lite1",
        "efficientnet-lite2",
        "efficientnet-lite3",
        "efficientnet-lite4",
    ] = "resnet"
    """resnet: ResNet v1 (authors). efficientnet-lite0 to 4: mobile networks without
    squeeze-and-excitation; depth, width, stride_on and deformable do not apply to them."""
    depth: Literal[10, 18, 34, 50, 101] = 101
    """Number of layers. 10 is the smallest, for trying things out: no weights of it are known."""
    width: int = 64
    """Channels of conv1; stage s has width * 2**(s-2) (x 4 with bottlenecks)."""
    split: int = 4
    """Number of units at stride 16 in the low level. ResNet: units of stage 4 (authors: 4 of 23 in
    ResNet-101, up to res4b3). EfficientNet-lite: blocks of stages 4 and 5, 6 in lite0."""
    norm: Literal["frozen_batch", "group"] = "frozen_batch"
    """frozen_batch: batch normalisation with stored statistics (authors). group: GroupNorm, for
    training from scratch."""
    stride_on: Literal["1x1", "3x3"] = "1x1"
    """Convolution that has the stride in a stage's first bottleneck: 1x1 (Caffe, authors) or 3x3
    (torchvision)."""
    pixel_mean: tuple[float, float, float] = (123.15, 115.90, 103.06)
    """Mean that is subtracted from the RGB pixels (authors)."""
    pixel_std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Standard deviation that divides the pixels after the subtraction (authors: no division)."""
    norm_epsilon: float = 1e-5
    """Added to the variance in batch normalisation (authors; FGFA's authors: 2e-5)."""
    deformable: Literal[0, 3] = 0
    """Number of units of stage 5 with a deformable second convolution (Deformable ConvNets: all 3)."""
    deformable_border: Literal["held", "zero"] = "held"
    """Border rule of deformable convolutions; must be the rule that the weights were trained with. held:
    Deformable ConvNets' own operator; zero: torchvision and mmcv (`ops/sampling.py: Border`)."""
    remat: bool = False
    """Recompute activations in the backward pass, unit by unit: saves memory, takes about a third
    more time."""


@dataclass(frozen=True)
class LSTSConfig:
    """Learnable spatio-temporal sampling (paper, section 3.2)."""

    offsets: Literal["uniform", "gaussian", "random"] = "uniform"
    """Initial sampling offsets. uniform: the integer grid of sqrt(K) x sqrt(K); gaussian: N(0, I);
    random: uniform in +-2 (the 2021 reproduction)."""
    num_offsets: int = 81
    """Number K of sampling locations. The authors use 81 with the uniform grid, 40 with the
    Gaussian."""
    initial_spread: float = 1.0
    """Factor of the initial offsets; near 0 all sampling locations start at the position itself."""
    learn_offsets: bool = True
    embedding_channels: int = 256
    separate_embeddings: bool = True
    """True: f and g are two convolutions (authors, paper); False: one convolution serves as both
    (reproduction)."""
    normalization: Literal["softmax", "sum", "abs_sum"] = "softmax"
    """Normalisation of the affinity over K: softmax (authors), s / sum s (paper), s / sum |s|
    (reproduction)."""
    implementation: Literal["factorised", "gather"] = "factorised"
    """factorised: correlation over integer shifts, cost independent of K. gather: the readable reference."""
    window: int = 8
    """Offsets stay in [-window, window), the range of the factorised form: training clips offsets
    that leave it, and counts them."""
    offset_rate: float = 2.5
    """Learning rate of the offsets, as a multiple of the optimizer's (authors)."""
    alignment_rate: float = 1.0
    """Learning rate of the embeddings and the quality networks, as a multiple of the optimizer's. They start
    near 0, and AdamW moves them by the rate whatever their gradient: at 1 they saturate before they have
    learned anything, and the memory is hardly used."""
    quality_rate: float = 1.0
    """Learning rate of the quality networks, as a multiple of that."""


@dataclass(frozen=True)
class DFFConfig:
    """Deep feature flow (Zhu et al., 2017)."""

    flow_width: int = 64
    """Channels of the flow network's first convolution; the widest has 16 times as many (FlowNetS)."""


@dataclass(frozen=True)
class FGFAConfig:
    """Flow-guided feature aggregation (Zhu et al., 2017)."""

    flow_width: int = 64
    """Channels of the flow network's first convolution, as for DFF."""
    embedding_channels: int = 2048
    """Channels of the embedding that compares frames; the two layers before it have a quarter as
    many."""
    radius: int = 9
    """Number of frames before and after the current one that are aggregated with it (authors' code;
    10 in the paper). Detections come that many frames late."""
    causal: bool = False
    """Leave out the frames after the current one: no delay, but differs from the authors' method."""


@dataclass(frozen=True)
class THPConfig:
    """Towards high performance video object detection (Zhu et al., 2018).

    The authors published no code: defaults without a source are this package's choice.
    """

    flow_width: int = 64
    """Channels of the flow network's first convolution, as for DFF."""
    embedding_channels: int = 2048
    """Channels of the embedding that compares frames, as for FGFA."""
    updating: Literal["partial", "none"] = "partial"
    """partial: the backbone runs on every frame, and its feature replaces the propagated one at
    inconsistent positions; with dense convolutions this saves no time. none: the backbone runs
    on keyframes only."""
    threshold: float = 0.0
    """A position is inconsistent if its consistency is at most this (tau)."""
    adaptive: bool = False
    """Choose keyframes by `adaptive_share` instead of the schedule."""
    adaptive_share: float = 0.2
    """A frame with a larger share of inconsistent positions becomes a keyframe (gamma)."""
    penalty: float = 1e-4
    """Loss per inconsistent position in training (lambda)."""


@dataclass(frozen=True)
class AnchorConfig:
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    scales: tuple[float, ...] = (8.0, 16.0, 32.0)
    """Side lengths in units of the stride, 16 pixels."""


@dataclass(frozen=True)
class ProposalConfig:
    """Region proposals (authors: RPN_PRE_NMS_TOP_N, RPN_POST_NMS_TOP_N, RPN_NMS_THRESH)."""

    pre_nms: int = 6000
    post_nms: int = 300
    nms_threshold: float = 0.7


@dataclass(frozen=True)
class DetectionConfig:
    """Selection of detections from R-FCN's scores at test time (authors: TEST.*)."""

    score_threshold: float = 1e-4
    nms_threshold: float = 0.3
    max_detections: int = 300
    """Largest number of detections in a frame; ties with the last are kept too."""


@dataclass(frozen=True)
class ModelConfig:
    """The detector."""

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    lsts: LSTSConfig = field(default_factory=LSTSConfig)
    dff: DFFConfig = field(default_factory=DFFConfig)
    fgfa: FGFAConfig = field(default_factory=FGFAConfig)
    thp: THPConfig = field(default_factory=THPConfig)
    anchors: AnchorConfig = field(default_factory=AnchorConfig)
    proposals: ProposalConfig = field(default_factory=ProposalConfig)
    detections: DetectionConfig = field(default_factory=DetectionConfig)
    feature_channels: int = 1024
    """Number C of channels of the high-level feature: the first half feeds the RPN, the second
    R-FCN."""
    deformable_pooling: bool = False
    """Bins of R-FCN's regions move by learned offsets (Dai et al., Deformable ConvNets)."""
    low2high: Literal["authors", "paper"] = "authors"
    """Convolutions of low2high. authors: 1x1, 3x3, 3x3 with C/4, C/4, C channels; paper: 3x3 with
    C/4, C/2, C."""
    quality: Literal["authors", "paper"] = "authors"
    """Convolutions of the quality network. authors: 1x1, 3x3, 3x3 with C/4, 16, 1 channels; paper:
    3x3, 1x1, 1x1."""
    temporal: str = "lsts"
    """The temporal method (`models/temporal`). lsts: SRFU updates the memory at keyframes, DFA
    aligns it to the frames between. srfu: SRFU only, frames between use the keyframe's feature
    unchanged. dfa: DFA only, the memory is replaced at every keyframe. copy: frames between use
    the keyframe's feature unchanged, without SRFU. none: the single-frame R-FCN. dff: the
    keyframe's feature is warped along optical flow. fgfa: the features of the surrounding frames
    are warped along optical flow and averaged; every frame is a keyframe, so the next two fields
    have no effect. thp: keyframes are averaged with earlier ones; other frames warp the
    keyframe's feature and update it where it is inconsistent. FILE.py:CLASS: your own method."""
    keyframe_interval: int = 10
    """Frames in a segment (paper, section 4.1). With the schedule it also determines the distances
    between the frames of a training sample (`data/triplets.py`)."""
    schedule: Schedule = "offline"
    """Position of a segment's keyframe: the middle (offline, authors) or the start (online, causal)."""
    deep_layer_init: Literal["normal", "he"] = "normal"
    """Initial weights of the layers between backbone and heads: N(0, 0.01) (authors), or He's for
    training from scratch."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of convolutions and matrix products; softmax, losses and boxes are always float32."""


@dataclass(frozen=True)
class LossConfig:
    """Sampling of anchors and regions (authors: TRAIN.*)."""

    anchor_batch: int = 256
    anchor_positive_fraction: float = 0.5
    anchor_positive_iou: float = 0.7
    anchor_negative_iou: float = 0.3
    roi_positive_iou: float = 0.5
    ohem_rois: int = 128
    ignore_iou: float = 0.5
    """An anchor or region is left out of training if an ignored region covers at least this share
    of its area."""


@dataclass(frozen=True)
class OptimizerConfig:
    """SGD as the authors use it: gradients are summed over the batch, and the momentum includes the
    learning rate."""

    name: Literal["sgd", "adamw"] = "sgd"
    """sgd (authors), or adamw, which trains small models from scratch in minutes."""
    learning_rate: float = 2.5e-4
    """Rate for the gradient summed over the batch (authors: 8 GPUs with one triplet each)."""
    momentum: float = 0.9
    weight_decay: float = 5e-4
    """Applied to convolution weights and normalisation scales, never to biases or offsets."""
    drop_epochs: tuple[float, ...] = (2.333,)
    """Epochs after which the learning rate is multiplied by 0.1."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises linearly from a tenth of its value."""
    freeze: tuple[str, ...] = ("conv1", "norm1", "res2")
    """Parts of the backbone that are not trained: conv1, norm1, res2 to res5, units such as res4_2,
    feature_conv, or norms (all normalisations of the backbone). EfficientNet-lite: stage1 to
    stage7, and blocks such as stage4_2."""


@dataclass(frozen=True)
class TrainConfig:
    batch_size: int = 8
    epochs: float = 4.0
    """Passes over every picture and its mirror image."""
    log_every: int = 20
    """Steps between lines of metrics.jsonl."""
    checkpoint_every: int = 2000
    """Steps between checkpoints."""
    evaluate_every: int = 0
    """Steps between evaluations during training, which select the best checkpoint; 0: evaluate only at the
    end."""
    max_skipped: int = 10
    """End the run after this many skipped updates in a row. An update is skipped if its loss or
    gradient is not finite."""
    pretrained: str = ""
    """Initial weights: a .params, .pth, .safetensors or .npz file of a backbone or a detector, with
    the authors' or torchvision's names; the folder of a run or of a published detector; or
    hf://ORG/NAME[/FILE]. Empty: random weights."""
    parameters: Literal["replicated", "sharded"] = "replicated"
    """Layout of parameters on several devices. replicated: every device holds all parameters.
    sharded: every device holds a share of the parameters and of the optimizer's state, and
    gathers the parameters for a step."""
    loss: LossConfig = field(default_factory=LossConfig)


@dataclass(frozen=True)
class EvaluationConfig:
    frames_per_batch: int = 0
    """Frames of a segment that run as one batch on the device; 0: whole segments on a GPU, one
    frame on a CPU."""
    videos_per_batch: int = 0
    """Videos that are detected in parallel, segment by segment; 0: eight per GPU, one per other
    device. A multiple of the number of devices uses all devices."""
    seq_nms: bool = False
    """Seq-NMS: link and rescore detections along each video before scoring, instead of NMS in each frame."""
    linking: bool = False
    """Causal linking: a detection gets the mean score of its object so far (Seq-Bbox Matching, online)."""
    score_thresholds: tuple[float, ...] = ()
    """Minimum score of a detection, before Seq-NMS or linking if there is one of them: one value for all
    classes, or one value per class, in order."""


@dataclass(frozen=True)
class Config:
    """An experiment."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    seed: int = 0
