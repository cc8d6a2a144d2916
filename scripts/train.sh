#!/usr/bin/env bash
# The original pipeline for chest CT. Set the variables, here or in the environment, then: bash scripts/train.sh
set -euo pipefail

TRAINORINFER=${TRAINORINFER:-1}       # 1 trains, 2 infers
USEMEDSAM=${USEMEDSAM:-true}          # true infers with the fine-tuned model, false with SAM2 as it is

DATASET=${DATASET:-.}                 # nnU-Net raw dataset: dataset.json, imagesTr, labelsTr, imagesTs, labelsTs
IMG_PATH=${IMG_PATH:-$DATASET/imagesTr}
IMG_NAME_SUFFIX=${IMG_NAME_SUFFIX:-_0000.nii.gz}
GT_PATH=${GT_PATH:-$DATASET/labelsTr}
GT_NAME_SUFFIX=${GT_NAME_SUFFIX:-.nii.gz}
OUTPUT_PATH=${OUTPUT_PATH:-${DATA:-./data/ILD}}  # prepared patients and slices
WINDOW_LEVEL=${WINDOW_LEVEL:--600}    # the original was 40/400, in which ground glass cannot be seen
WINDOW_WIDTH=${WINDOW_WIDTH:-1500}
SAVE_NII=${SAVE_NII:-}                # --save_nii also writes what was prepared as NIfTI, to look at
NUM_WORKERS=${NUM_WORKERS:-4}
NPY_DIR=${NPY_DIR:-$OUTPUT_PATH/npy}
NPZ_TEST_DIR=${NPZ_TEST_DIR:-$OUTPUT_PATH/npz_test/CT_ILD}

WORK_DIR=${WORK_DIR:-${WORK:-./work_dir}}  # models
TASK_NAME=${TASK_NAME:-${TASK:-MedSAM2-Tiny-ILD}}
PRETRAIN_MODEL_PATH=${PRETRAIN_MODEL_PATH:-${SAM2:-./checkpoints/sam2_hiera_tiny.pt}}
MODEL_CFG=${MODEL_CFG:-sam2_hiera_t.yaml}
EPOCHS=${EPOCHS:-500}
BATCH_SIZE=${BATCH_SIZE:-16}
L_RATE=${L_RATE:-${LEARNING_RATE:-1e-5}}
IMAGE_SIZE=${IMAGE_SIZE:-}            # side of the input; default: what MODEL_CFG says, or 1024
RESUME=${RESUME:-false}               # true goes on from RESUME_PATH; what was begun in WORK_DIR goes on by itself
RESUME_PATH=${RESUME_PATH:-$WORK_DIR/$TASK_NAME/medsam_model_latest.pth}

MEDSAM2CHECKPOINT=${MEDSAM2CHECKPOINT:-$WORK_DIR/$TASK_NAME/medsam_model_best.pth}
PRED_SAVE_DIR=${PRED_SAVE_DIR:-${SEGS:-./segs}/medsam2}
PRED_SAVE_DIR_SAM=${PRED_SAVE_DIR_SAM:-${SEGS:-./segs}/sam2}
EVALPATH=${EVALPATH:-./infer_eval/medsam2}
EVALPATH_SAM=${EVALPATH_SAM:-./infer_eval/sam2}

HERE=$(cd "$(dirname "$0")" && pwd)
PYTHON=${PYTHON:-python}

# The truth of the test patients: labelsTs if they are of imagesTs; nii_to_npz.py takes some of imagesTr where there is none
TEST_GT_PATH=$GT_PATH
for patient in "$NPZ_TEST_DIR"/*.npz; do
    labels=$(dirname "$GT_PATH")/labelsTs
    if [ -e "$labels/$(basename "$patient" .npz)$GT_NAME_SUFFIX" ]; then TEST_GT_PATH=$labels; fi
done

if [ "$TRAINORINFER" = 1 ]; then
    "$PYTHON" "$HERE/nii_to_npz.py" -img_path "$IMG_PATH" -img_name_suffix "$IMG_NAME_SUFFIX" -gt_path "$GT_PATH" \
        -gt_name_suffix "$GT_NAME_SUFFIX" -output_path "$OUTPUT_PATH" -num_workers "$NUM_WORKERS" \
        -window_level "$WINDOW_LEVEL" -window_width "$WINDOW_WIDTH" ${SAVE_NII:+"$SAVE_NII"}
    RESUMED=()
    if [ "$RESUME" = true ]; then
        RESUMED=(-resume "$RESUME_PATH")
    fi
    "$PYTHON" "$HERE/finetune_sam2_img.py" -i "$NPY_DIR" -task_name "$TASK_NAME" -work_dir "$WORK_DIR" \
        -num_epochs "$EPOCHS" -batch_size "$BATCH_SIZE" -lr "$L_RATE" -pretrain_model_path "$PRETRAIN_MODEL_PATH" \
        -model_cfg "$MODEL_CFG" ${IMAGE_SIZE:+-image_size "$IMAGE_SIZE"} ${RESUMED[@]+"${RESUMED[@]}"}
elif [ "$USEMEDSAM" = true ]; then
    "$PYTHON" "$HERE/infer_medsam2_ILD.py" -data_root "$NPZ_TEST_DIR" -pred_save_dir "$PRED_SAVE_DIR" \
        -medsam2_checkpoint "$MEDSAM2CHECKPOINT" -model_cfg "$MODEL_CFG"
    "$PYTHON" "$HERE/compute_metrics_ILD_all.py" -s "$PRED_SAVE_DIR" -g "$TEST_GT_PATH" -gt_name_suffix "$GT_NAME_SUFFIX" \
        -csv_dir "$EVALPATH"
else
    "$PYTHON" "$HERE/infer_sam2_ILD.py" -data_root "$NPZ_TEST_DIR" -pred_save_dir "$PRED_SAVE_DIR_SAM" \
        -sam2_checkpoint "$PRETRAIN_MODEL_PATH" -model_cfg "$MODEL_CFG" ${IMAGE_SIZE:+-image_size "$IMAGE_SIZE"}
    "$PYTHON" "$HERE/compute_metrics_ILD_all.py" -s "$PRED_SAVE_DIR_SAM" -g "$TEST_GT_PATH" -gt_name_suffix "$GT_NAME_SUFFIX" \
        -csv_dir "$EVALPATH_SAM"
fi
