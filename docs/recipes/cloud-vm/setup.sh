#!/bin/bash
# Prepares a fresh Debian or Ubuntu machine with an NVIDIA driver, as root, in a checkout of this repository, and starts
# the campaign as a service that continues after a reboot.
#   docs/recipes/cloud-vm/setup.sh campaign.toml /data/runs s3://bucket/spot-h100
set -euo pipefail
if [[ $# -ne 3 ]]; then
    echo "usage: $0 CAMPAIGN.toml RUNS TARGET" >&2
    exit 2
fi
campaign=$(realpath "$1") runs=$(realpath -m "$2") target=$3
checkout=$(pwd) units=${UNITS:-/etc/systemd/system}

apt-get update
apt-get install -y --no-install-recommends bubblewrap gcc libc6-dev python3-dev python3-venv
[[ -x .venv/bin/pip ]] || python3 -m venv .venv
.venv/bin/pip install -e '.[torch,hub,search,nvidia,sync]' vllm==0.33.0 s3fs
.venv/bin/inferencebench doctor
.venv/bin/inferencebench campaign plan "$campaign"

cat > "$units/inferencebench.service" <<UNIT
[Unit]
Description=InferenceBench campaign
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
WorkingDirectory=$checkout
EnvironmentFile=-/etc/inferencebench.env
ExecStart=$checkout/.venv/bin/inferencebench campaign run $campaign --out $runs
Restart=on-failure
RestartSec=30
RestartPreventExitStatus=1 2
TimeoutStopSec=90

[Install]
WantedBy=multi-user.target
UNIT
cat > "$units/inferencebench-sync.service" <<UNIT
[Unit]
Description=Copy of the finished runs

[Service]
Type=oneshot
WorkingDirectory=$checkout
EnvironmentFile=-/etc/inferencebench.env
ExecStart=$checkout/.venv/bin/inferencebench campaign sync $campaign $target --out $runs
UNIT
cat > "$units/inferencebench-sync.timer" <<UNIT
[Unit]
Description=Copy of the finished runs, every ten minutes

[Timer]
OnBootSec=10min
OnUnitInactiveSec=10min

[Install]
WantedBy=timers.target
UNIT
systemctl daemon-reload
systemctl enable --now inferencebench.service inferencebench-sync.timer
