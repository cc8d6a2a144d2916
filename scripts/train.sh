#!/usr/bin/env bash
# The original pipeline for chest CT. Set the variables, then: bash scripts/train.sh
set -euo pipefail

TRAINORINFER=${TRAINORINFER:-1}       # 1 trains, 2 infers
USEMEDSAM=${USEMEDSAM:-true}          # true infers with the fine-tuned model, false with SAM2 as it is
DATASET=${DATASET:-.}                 # nnU-Net raw dataset: imagesTr, labelsTr, imagesTs, labelsTs
DATA=${DATA:-./data/ILD}              # prepared patients and slices
WORK=${WORK:-./work_dir}              # models
TASK=${TASK:-MedSAM2-Tiny-ILD}
SAM2=${SAM2:-checkpoints/sam2_hiera_tiny.pt}
WINDOW_LEVEL=${WINDOW_LEVEL:--600}    # the original was 40/400, in which ground glass cannot be seen
WINDOW_WIDTH=${WINDOW_WIDTH:-1500}
EPOCHS=${EPOCHS:-500}
BATCH_SIZE=${BATCH_SIZE:-16}
LEARNING_RATE=${LEARNING_RATE:-1e-5}
IMAGE_SIZE=${IMAGE_SIZE:-1024}
NUM_WORKERS=${NUM_WORKERS:-4}
SEGS=${SEGS:-./segs}

HERE=$(cd "$(dirname "$0")" && pwd)
PYTHON=${PYTHON:-python}
if [ "$TRAINORINFER" = 1 ]; then
    "$PYTHON" "$HERE/nii_to_npz.py" -img_path "$DATASET/imagesTr" -gt_path "$DATASET/labelsTr" -output_path "$DATA" \
        -num_workers "$NUM_WORKERS" -window_level="$WINDOW_LEVEL" -window_width "$WINDOW_WIDTH"
    "$PYTHON" "$HERE/finetune_sam2_img.py" -i "$DATA/npy" -task_name "$TASK" -work_dir "$WORK" -num_epochs "$EPOCHS" \
        -batch_size "$BATCH_SIZE" -lr "$LEARNING_RATE" -pretrain_model_path "$SAM2" -model_cfg sam2_hiera_t.yaml \
        -image_size "$IMAGE_SIZE"
elif [ "$USEMEDSAM" = true ]; then
    "$PYTHON" "$HERE/infer_medsam2_ILD.py" -data_root "$DATA/npz_test/CT_ILD" -pred_save_dir "$SEGS/medsam2" \
        -sam2_checkpoint "$SAM2" -medsam2_checkpoint "$WORK/$TASK/medsam_model_best.pth" -model_cfg sam2_hiera_t.yaml
    "$PYTHON" "$HERE/compute_metrics_ILD_all.py" -s "$SEGS/medsam2" -g "$DATASET/labelsTs" -csv_dir ./infer_eval/medsam2
else
    "$PYTHON" "$HERE/infer_sam2_ILD.py" -data_root "$DATA/npz_test/CT_ILD" -pred_save_dir "$SEGS/sam2" \
        -sam2_checkpoint "$SAM2" -model_cfg sam2_hiera_t.yaml -image_size "$IMAGE_SIZE"
    "$PYTHON" "$HERE/compute_metrics_ILD_all.py" -s "$SEGS/sam2" -g "$DATASET/labelsTs" -csv_dir ./infer_eval/sam2
fi
