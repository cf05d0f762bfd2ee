#!/usr/bin/env bash
# A real SLURM of one node on this machine, for tests: `slurm_cluster.sh up`, `down`, `purge` (down, and forget its state),
# `install` (its programs, which `up` does where they are missing).
#
# It runs munged, mariadbd, slurmdbd, slurmctld and slurmd as root on the loopback, without systemd, with 8 CPUs and fake
# GPUs that need not be there. Accounting is part of it because submitit asks sacct how jobs ended. `up` installs Debian's
# packages where they are missing and does nothing where the cluster runs already.
#
# Limits and work characteristic keys are enforced as on a site; root, who submits, has an account but no limit unless a
# test sets one (sacctmgr modify qos normal set MaxSubmitJobsPerUser=2).
#
# DU_SLURM_DIR: state, logs and sockets (default /var/tmp/deepunlearn-slurm); DU_SLURM_GPUS: fake GPUs (default 2).
# DU_SLURM_BIND=1: only the CPUs that there are, and each step is bound to those it asks for, as many sites have it.
set -euo pipefail

DIR=${DU_SLURM_DIR:-/var/tmp/deepunlearn-slurm}
GPUS=${DU_SLURM_GPUS:-2}
BIND=${DU_SLURM_BIND:-0}
CPUS=8
TASKS=TaskPlugin=task/none
if [ "$BIND" = 1 ]; then
  CPUS=$(nproc --all)  # without it OMP_NUM_THREADS counts
  TASKS=$'TaskPlugin=task/affinity\nTaskPluginParam=Cores'
fi
NODE=$(hostname -s)
SOCKET=$DIR/munge.socket
MARKER="# deepunlearn's test cluster"
DAEMONS=(munged mariadbd slurmdbd slurmctld slurmd)

die() { echo "slurm_cluster: $*" >&2; exit 1; }

# The process number of one of our daemons, if it runs. A zombie does not: nobody may be there to reap it.
running() {
  local number
  number=$(cat "$DIR/$1.pid" 2>/dev/null) || return 1
  [ "$(awk '{print $2}' "/proc/$number/stat" 2>/dev/null)" = "($1)" ] || return 1
  [ "$(awk '{print $3}' "/proc/$number/stat")" != Z ] || return 1
  echo "$number"
}

until_true() {  # SECONDS COMMAND...: wait until COMMAND succeeds
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { tail -n 8 "$DIR"/*.log >&2; die "gave up waiting for: $*"; }
    sleep 0.1
  done
}

install_packages() {
  local program missing=
  for program in munged mariadbd slurmdbd slurmctld slurmd sbatch; do command -v $program >/dev/null || missing=1; done
  [ -n "$missing" ] || return 0
  local policy=/usr/sbin/policy-rc.d made=
  # Debian starts services when it installs them; this policy says no
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=1; }
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    munge mariadb-server slurmdbd slurmctld slurmd slurm-client >/dev/null
  [ -z "$made" ] || rm $policy
}

write_config() {  # FILE MODE, text from standard input; a cluster's own configuration is never touched
  [ ! -s "/etc/slurm/$1" ] || grep -qF "$MARKER" "/etc/slurm/$1" || die "/etc/slurm/$1 belongs to another cluster"
  { echo "$MARKER"; cat; } >"/etc/slurm/$1"
  chmod "$2" "/etc/slurm/$1"
}

configure() {
  mkdir -p "$DIR"/{state,spool,dev,db} /etc/slurm
  chmod 755 "$DIR"
  chown mysql "$DIR/db"
  [ -s "$DIR/munge.key" ] || (umask 277 && head -c 1024 /dev/urandom >"$DIR/munge.key")
  local gres= gpu
  [ "$GPUS" = 0 ] || gres="Gres=gpu:$GPUS"
  for ((gpu = 0; gpu < GPUS; gpu++)); do ln -sfn /dev/null "$DIR/dev/gpu$gpu"; done  # it wants a character device
  write_config slurm.conf 644 <<END
ClusterName=deepunlearn
SlurmctldHost=$NODE(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$SOCKET,cred_expire=5
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePass=$SOCKET
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=associations,limits,qos,wckeys
TrackWCKey=yes
JobAcctGatherType=jobacct_gather/none
ProctrackType=proctrack/linuxproc
$TASKS
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_min_interval=1000,sched_interval=1,bf_interval=1,bf_continue
SlurmdParameters=config_overrides
GresTypes=gpu
JobRequeue=1
KillWait=2
MinJobAge=3600
ReturnToService=2
SlurmdTimeout=30
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/slurmd.pid
SlurmctldLogFile=$DIR/slurmctld.log
SlurmdLogFile=$DIR/slurmd.log
NodeName=$NODE NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=16000 $gres State=UNKNOWN
PartitionName=test Nodes=$NODE Default=YES MaxTime=INFINITE State=UP
END
  { [ "$GPUS" = 0 ] || echo "Name=gpu File=$DIR/dev/gpu[0-$((GPUS - 1))]"; } | write_config gres.conf 644
  printf '%s\n' CgroupPlugin=cgroup/v1 CgroupAutomount=no | write_config cgroup.conf 644  # v1 means: do not look for any
  write_config slurmdbd.conf 600 <<END
AuthType=auth/munge
AuthInfo=socket=$SOCKET
DbdHost=localhost
DbdAddr=127.0.0.1
SlurmUser=root
TrackWCKey=yes
LogFile=$DIR/slurmdbd.log
PidFile=$DIR/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=13316
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
END
}

sql() { mariadb --no-defaults -S "$DIR/db/own.socket" "$@"; }

start_database() {
  [ -d "$DIR/db/mysql" ] || mariadb-install-db --no-defaults --auth-root-authentication-method=normal --user=mysql \
    --datadir="$DIR/db" --skip-test-db >"$DIR/install.log" 2>&1
  setsid mariadbd --no-defaults --user=mysql --datadir="$DIR/db" --socket="$DIR/db/own.socket" --bind-address=127.0.0.1 \
    --port=13316 --pid-file="$DIR/db/own.pid" --innodb-lock-wait-timeout=900 --log-error="$DIR/mariadbd.log" \
    </dev/null >/dev/null 2>&1 &
  echo $! >"$DIR/mariadbd.pid"
  until_true 120 sql -e "select 1"
  sql -e "create database if not exists slurm_acct_db;
          create user if not exists slurm@'127.0.0.1' identified by 'slurm';
          grant all on slurm_acct_db.* to slurm@'127.0.0.1'"
}

# A node that was down comes back by itself when slurmd registers, maybe between our look and our request, which is an
# error then: so the state decides, not the request's answer.
node_usable() {
  sinfo -h -o %t | grep -E '^(idle|mix|alloc)' && return
  scontrol update nodename="$NODE" state=resume
  return 1
}

up() {
  [ "$(id -u)" = 0 ] || die "run as root"
  install_packages
  configure
  running munged >/dev/null || munged --force --key-file="$DIR/munge.key" --socket="$SOCKET" --pid-file="$DIR/munged.pid" \
    --log-file="$DIR/munged.log" --seed-file="$DIR/munge.seed"
  running mariadbd >/dev/null || start_database
  running slurmdbd >/dev/null || slurmdbd
  until_true 120 bash -c '</dev/tcp/127.0.0.1/6819'
  running slurmctld >/dev/null || slurmctld
  until_true 120 bash -c "scontrol ping | grep -q UP"
  running slurmd >/dev/null || slurmd
  until_true 120 bash -c "sacctmgr -nP show cluster format=cluster | grep -q deepunlearn"
  until_true 120 node_usable
  sinfo
}

down() {
  if running slurmctld >/dev/null && running slurmd >/dev/null; then  # jobs outlive slurmd
    scancel --full --user=root 2>/dev/null || true
    until_true 60 bash -c '[ -z "$(squeue -h)" ]' || true
  fi
  local name number
  for ((i = ${#DAEMONS[@]} - 1; i >= 0; i--)); do
    name=${DAEMONS[i]}
    number=$(running "$name") || continue
    kill "$number"
    until_true 60 bash -c "! kill -0 $number || [ \$(awk '{print \$3}' /proc/$number/stat) = Z ]"
    rm -f "$DIR/$name.pid"
  done
}

purge() {
  down
  local file
  for file in slurm.conf gres.conf cgroup.conf slurmdbd.conf; do
    ! grep -qF "$MARKER" "/etc/slurm/$file" 2>/dev/null || rm "/etc/slurm/$file"
  done
  rm -rf "$DIR"
}

case ${1:-} in
  up | down | purge) "$1" ;;
  install) install_packages ;;
  *) die "usage: $0 up|down|purge|install" ;;
esac
