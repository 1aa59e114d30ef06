#!/usr/bin/env bash
# Tries docs/nodes.md on hosts that this machine plays itself: network namespaces joined by veth pairs. As root, on Linux,
# with iproute2, iptables, openssh-server, and this package set up and built:
#
#   sudo bash run_scripts/two-hosts/try.sh
#
#   laptop 192.168.77.2 -- 192.168.77.1 router 10.77.0.1 -- 10.77.0.2 rented
#
# The router translates addresses for the laptop and lets nobody in to it. One small run of two ranks is trained three
# times: by local processes; with the control plane on the router and workers under torchrun on the rented host; with the
# control plane on the laptop, to which the rented host gets through `ssh -R` only. The weights must be the same files.
# Strangers must be refused, and a host that does not see the run's folder. Ends with 0 when all of it held; nothing is left but the folder of logs that it names.
set -euo pipefail
cd "$(dirname "$0")/../.."

for program in ip iptables ssh ssh-keygen sshd; do
  command -v "$program" > /dev/null || { echo "$program is missing (Debian: iproute2 iptables openssh-server)"; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "namespaces need root"; exit 2; }

WORK="$(mktemp -d)"
TAG="tt$$"
laptop="$TAG-laptop" router="$TAG-router" rented="$TAG-rented"
on() { ip netns exec "$1" "${@:2}"; }
thurstone() { node dist/cli/main.js "$@"; }
say() { echo "== $*"; }
failed() { echo "FAILED: $*; logs are in $WORK"; exit 1; }

started=()
clean() {
  for signal in TERM KILL; do
    for pid in "${started[@]}"; do kill "-$signal" -- "-$pid" 2> /dev/null || true; done
    sleep 1
  done
  for name in "$laptop" "$router" "$rented"; do ip netns del "$name" 2> /dev/null || true; done
}
trap clean EXIT
# Starts a program in a session of its own; its output goes to a log.
begin() {
  setsid "${@:2}" > "$WORK/$1.log" 2>&1 < /dev/null &
  started+=("$!")
}
# Waits until a log has a line.
until_said() {
  for ((tenth = 0; tenth < 1200; tenth++)); do
    ! grep -qsE "$2" "$WORK/$1.log" || return 0
    sleep 0.1
  done
  failed "$1 did not say \"$2\""
}
finished() { wait "$1" || failed "$2 ended with $?"; }

join_by_cable() { # host, address, host, address
  ip link add "${TAG}v$5" type veth peer name "${TAG}w$5"
  ip link set "${TAG}v$5" netns "$1" && ip link set "${TAG}w$5" netns "$3"
  on "$1" ip addr add "$2" dev "${TAG}v$5" && on "$1" ip link set "${TAG}v$5" up
  on "$3" ip addr add "$4" dev "${TAG}w$5" && on "$3" ip link set "${TAG}w$5" up
}
for name in "$laptop" "$router" "$rented"; do
  ip netns add "$name" && on "$name" ip link set lo up
done
join_by_cable "$laptop" 192.168.77.2/24 "$router" 192.168.77.1/24 1
join_by_cable "$router" 10.77.0.1/24 "$rented" 10.77.0.2/24 2
on "$laptop" ip route add default via 192.168.77.1
on "$rented" ip route add default via 10.77.0.1
on "$router" sysctl -q -w net.ipv4.ip_forward=1
on "$router" iptables -t nat -A POSTROUTING -s 192.168.77.0/24 -o "${TAG}v2" -j MASQUERADE
on "$router" iptables -A FORWARD -i "${TAG}v2" -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
on "$router" iptables -A FORWARD -i "${TAG}v2" -j DROP

node run_scripts/two-hosts/rows.mjs "$WORK"
thurstone keys "$WORK/keys" rented > /dev/null
# A key for the same control plane that is not in its list, and one for another.
cp -r "$WORK/keys" "$WORK/more-keys"
thurstone keys "$WORK/more-keys" stranger > /dev/null
thurstone keys "$WORK/other-keys" elsewhere > /dev/null

run=(node dist/cli/main.js train --model_name_or_path "$PWD/assets/rated" --data_file_paths "$WORK/rows.jsonl" --image_folders "$PWD/assets/photos"
  --prompts_per_step 3 --num_generations 4 --max_completion_length 12 --max_steps 2 --save_steps 1 --num_processes 2
  --rewards run_scripts/two-hosts/reward.ts --reward_funcs mixed --device cpu --worker_threads 1 --lr_scheduler_type constant --learning_rate 1e-3)
begin_workers() { # log, address, a program in front
  begin "$1" ip netns exec "$rented" "${@:3}" node dist/cli/main.js worker --connect "$2" --key "$WORK/keys/rented.json" --allow "$WORK" \
    -- --standalone --nproc-per-node 2
}
digest() { sha256sum < "$WORK/$1/model/model.safetensors" | cut -c 1-16; }

say "two local processes"
"${run[@]}" --output_dir "$WORK/local" > "$WORK/local.log" 2>&1 || failed "the local run"

say "two hosts: control plane on the router, workers under torchrun on the rented host"
begin two-hosts ip netns exec "$router" "${run[@]}" --output_dir "$WORK/two-hosts" \
  --worker_address tcp://10.77.0.1:5700 --worker_key_file "$WORK/keys/control.json"
control=$!
until_said two-hosts "waiting at tcp://10.77.0.1:5700"
for stranger in stranger:more-keys/stranger elsewhere:other-keys/elsewhere; do
  ! on "$rented" node dist/cli/main.js worker --connect tcp://10.77.0.1:5700 --key "$WORK/${stranger#*:}.json" --wait 5 \
    > "$WORK/${stranger%:*}.log" 2>&1 || failed "${stranger%:*} got in"
done
on "$rented" node run_scripts/python.mjs run_scripts/two-hosts/strangers.py \
  tcp://10.77.0.1:5700 "$WORK/keys/rented.json" | tee "$WORK/strangers.log" || failed "a stranger got in"
begin_workers two-hosts-workers tcp://10.77.0.1:5700
joined=$!
finished "$control" "the run on two hosts"
finished "$joined" "its workers"
for line in "refused 10.77.0.2: its key .* is not listed" "another key of this control plane" \
  "it does not use CURVE|it did not complete the handshake" HELLO_REPLAYED HELLO_TOKEN; do
  until_said two-hosts "$line"
done

say "laptop behind the router, reached by the rented host through ssh -R"
! on "$rented" ping -c 1 -W 1 192.168.77.2 > /dev/null 2>&1 || failed "the laptop can be reached, so this would show nothing"
mkdir -p "$WORK/ssh" /run/sshd
ssh-keygen -q -t ed25519 -N "" -f "$WORK/ssh/host" && ssh-keygen -q -t ed25519 -N "" -f "$WORK/ssh/user"
begin sshd ip netns exec "$rented" "$(command -v sshd)" -D -e -f /dev/null -h "$WORK/ssh/host" -o ListenAddress=10.77.0.2 -o UsePAM=no \
  -o "AuthorizedKeysFile=$WORK/ssh/user.pub" -o StrictModes=no -o PidFile=none
until_said sshd "Server listening"
begin laptop ip netns exec "$laptop" "${run[@]}" --output_dir "$WORK/laptop" \
  --worker_address tcp://127.0.0.1:5700 --worker_key_file "$WORK/keys/control.json"
control=$!
begin_workers laptop-workers tcp://127.0.0.1:5700
joined=$!
# The workers are up first, and find nobody until there is a tunnel.
until_said laptop-workers "nobody answers there yet"
begin ssh ip netns exec "$laptop" ssh -N -i "$WORK/ssh/user" -o IdentitiesOnly=yes -o StrictHostKeyChecking=no \
  -o UserKnownHostsFile=/dev/null -R 5700:127.0.0.1:5700 -R 5701:127.0.0.1:5701 root@10.77.0.2
finished "$control" "the run on the laptop"
finished "$joined" "its workers"

say "two hosts, and the rented one sees another folder where the run's is"
mkdir "$WORK/unseen"
begin unseen ip netns exec "$router" "${run[@]}" --output_dir "$WORK/unseen" \
  --worker_address tcp://10.77.0.1:5700 --worker_key_file "$WORK/keys/control.json"
control=$!
begin_workers unseen-workers tcp://10.77.0.1:5700 unshare --mount sh -c 'mount -t tmpfs none "$0" && exec "$@"' "$WORK/unseen"
! wait "$control" || failed "a run went on whose workers do not see its folder"
until_said unseen "FOLDER_NOT_SHARED.*rank .: .* does not see $WORK/unseen"

say "weights: local $(digest local), two hosts $(digest two-hosts), laptop $(digest laptop)"
[ "$(digest local)" = "$(digest two-hosts)" ] && [ "$(digest local)" = "$(digest laptop)" ] || failed "they differ"
[ "$(digest local)" != "$(sha256sum < assets/rated/model.safetensors | cut -c 1-16)" ] || failed "nothing was trained"
grep "workers: refused" "$WORK/two-hosts.log"
say "all of it held"
