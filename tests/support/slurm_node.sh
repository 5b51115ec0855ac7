#!/bin/bash
# A Slurm of one node on this machine, for tests/test_slurm.py: `slurm_node.sh start FOLDER`, `slurm_node.sh stop FOLDER`.
# Everything that it writes is in FOLDER; after `start`, SLURM_CONF=FOLDER/slurm.conf makes sbatch and the others talk
# to it. Needs root, and Debian's slurmctld, slurmd, slurm-client and munge: `slurm_node.sh install`.
set -euo pipefail

install() {
    apt-get update -q
    # no package's own service shall start: this Slurm is one of the test's
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends slurmctld slurmd slurm-client munge
    rm /usr/sbin/policy-rc.d
}

start() {
    local folder=$1 host ports
    host=$(hostname -s)
    mkdir -p "$folder"/{state,spool,munge}
    chmod 755 "$folder" "$folder/munge" # munge refuses a socket in a folder that others cannot reach or may write
    (umask 077; head -c 128 /dev/urandom > "$folder/munge/key")
    munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
        --log-file="$folder/munge/log" --seed-file="$folder/munge/seed"
    read -r -a ports < <(python3 -c 'import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))')
    cat > "$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmctldTimeout=300
SlurmdTimeout=300
SlurmdParameters=config_overrides
KillWait=30
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=8000 State=UNKNOWN
PartitionName=batch Nodes=$host Default=YES MaxTime=60 State=UP OverSubscribe=NO
CONF
    export SLURM_CONF=$folder/slurm.conf
    echo 'CgroupPlugin=cgroup/v1' > "$folder/cgroup.conf" # Slurm 22 knows no "disabled"; nothing here uses cgroups
    slurmctld -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF" -N "$host"
    for _ in $(seq 120); do
        if sinfo --noheader --format=%T 2>/dev/null | grep -qx idle; then return 0; fi
        sleep 1
    done
    tail -n 20 "$folder"/slurmctld.log "$folder"/slurmd.log >&2
    return 1
}

stop() {
    local folder=$1
    # a job that has ended reports to slurmctld, and would wait for it for ever
    for _ in $(seq 60); do
        if [ -z "$(SLURM_CONF=$folder/slurm.conf squeue --noheader 2>/dev/null)" ]; then break; fi
        sleep 1
    done
    for pid in "$folder"/slurmd.pid "$folder"/slurmctld.pid "$folder"/munge/pid; do
        if [ -s "$pid" ]; then kill "$(cat "$pid")" || true; fi
    done
}

"$@"
