#!/bin/sh
# Makes and pushes the images of rootstrap.toml that something has changed for, as an array of Slurm jobs. Start it in the directory of the
# manifest, which all nodes have to see, for example from cron:
#
#   SHARDS=8 ROOTSTRAP_REMOTE_CACHE=http://cache:8080,trust=own ci/slurm/nightly.sh
#
# With BRANCH, the new locks are proposed on that branch of the repository. rootstrap and ci/nightly (as nightly) have to be on the PATH
# of the nodes. The exit status is that of all images together.
set -eu

shards=${SHARDS:-8}
mkdir -p logs reports
rm -f reports/*.json

# One job renews the locks and fetches for all; the array begins when it has succeeded.
update=$(sbatch --parsable --job-name=update --output=logs/update.log --wrap='nightly update && { [ -z "${BRANCH:-}" ] || nightly propose "$BRANCH"; } && nightly fetch')
build=$(sbatch --parsable --job-name=build --dependency="afterok:$update" --kill-on-invalid-dep=yes --array="1-$shards" \
    --output=logs/build-%a.log \
    --wrap='nightly build --shard auto --metadata-file "reports/$SLURM_ARRAY_TASK_ID.json"')
# What one array task could not make is in its report, and a task that left no report is an error.
sbatch --wait --job-name=report --dependency="afterany:$build" --output=logs/report.log \
    --wrap="nightly report \$(seq -f 'reports/%g.json' $shards)"
