# shellcheck shell=bash disable=SC2154  # cache, out, scratch, the limits and accel are set by `run`

readonly max_log_mb=64

now_ms() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

seconds() {
	printf '%d.%d' $(($1 / 1000)) $(($1 % 1000 / 100))
}

# guest DIR VMLINUZ INITRAMFS ACCEL LIMIT: runs one guest to its end. Leaves console.log, suites.log,
# boot (seconds to the first suite), total (seconds) and verdict (ok, or what went wrong) in DIR.
guest() {
	local dir=$1 kernel=$2 initramfs=$3 accel=$4 limit=$5 began elapsed pid code why='' cpu=max,la57=off,erms=off,fsrm=off cpus=2 clock=()
	# TCG takes `rep stosb` and `rep movsb` byte by byte: without ERMS and FSRM kernel and libc go other ways.
	# One thread for both CPUs: with one each, a CPU can go on executing an instruction that the other
	# has replaced (text_poke of the XDP dispatcher's jump), until the watchdog finds it stuck there.
	[[ $accel == count ]] && accel=tcg cpus=1 clock=(-icount "shift=0,sleep=off")
	[[ $accel == tcg ]] && accel=tcg,thread=single
	[[ $accel == tcg* ]] || cpu=host
	mkdir -p "$dir" && rm -f "$dir"/{boot,total,verdict,console.log,suites.log} && touch "$dir"/{console,suites}.log || return
	began=$(now_ms)
	# A busy host starves its guests, or stops them for a minute: the timer check would panic, and the limits of
	# the stall and lockup detectors are raised so that only real ones are reported (a lockup after 120 s).
	# The outer limit is for the case that the harness itself is killed.
	timeout -k 2 $((limit + 60)) qemu-system-x86_64 -accel "$accel" -cpu "$cpu" "${clock[@]}" -smp $cpus -m "$memory" -nodefaults -no-user-config \
		-display none -no-reboot -nic none -kernel "$kernel" -initrd "$initramfs" \
		-append "console=ttyS0,115200 panic=-1 rdinit=/init no_timer_check rcupdate.rcu_cpu_stall_timeout=120 watchdog_thresh=60" \
		-serial "file:$dir/console.log" -serial "file:$dir/suites.log" >"$dir/qemu.log" 2>&1 </dev/null 8>&- 9>&- &
	pid=$!
	# shellcheck disable=SC2064
	trap "kill $pid 2>/dev/null" EXIT
	trap 'exit 143' TERM
	while kill -0 $pid 2>/dev/null; do
		sleep 0.2
		elapsed=$(($(now_ms) - began))
		if [[ ! -e $dir/boot ]] && grep -q '^@@vm ready' "$dir/suites.log"; then
			seconds $elapsed >"$dir/boot"
		fi
		if ((elapsed > limit * 1000)); then
			why="time limit of $limit s reached $(where "$dir")"
		elif ((elapsed > boot_limit * 1000)) && [[ ! -e $dir/boot ]]; then
			why="not booted after $boot_limit s $(where "$dir")"
		elif (($(stat -c %s "$dir/suites.log") + $(stat -c %s "$dir/console.log") > max_log_mb << 20)); then
			why="more than $max_log_mb MB of output $(where "$dir")"
		else
			continue
		fi
		kill $pid
		break
	done
	wait $pid
	code=$?
	trap - EXIT TERM
	seconds $(($(now_ms) - began)) >"$dir/total"
	if [[ ! $why ]]; then
		if grep -q 'Kernel panic' "$dir/console.log"; then
			why="$(grep -m1 -o 'Kernel panic.*' "$dir/console.log" | tr -d '\r') $(where "$dir")"
		elif ! grep -q '^@@vm done' "$dir/suites.log"; then
			why="guest ended $(where "$dir"), qemu exit code $code: $(tail -n 1 "$dir/qemu.log")"
		fi
	fi
	echo "${why:-ok}" >"$dir/verdict"
}

# How far the guest came, in words.
where() {
	awk '/^@@vm init/ { at = "in init, before the first suite" }
		/^@@vm ready/ { at = "after init, before the first suite" }
		/^@@vm start/ { at = "in suite " $4 }
		/^@@vm end/ { at = "after suite " $4 }
		END { print at ? at : "before init" }' <(tr -d '\r' <"$1/suites.log")
}

# choose_accel NAME: KVM where a guest survives on it. The answer holds until this machine reboots.
choose_accel() {
	local boot_id known='' answer=tcg dir=$out/kvm-probe
	[[ -r /dev/kvm && -w /dev/kvm ]] || { echo tcg; return; }
	boot_id=$(</proc/sys/kernel/random/boot_id)
	[[ ! -r $cache/kvm ]] || read -r known answer <"$cache/kvm"
	if [[ $known != "$boot_id" ]]; then
		answer=tcg
		mkdir -p "$scratch/probe/vm"
		# shellcheck disable=SC2016
		echo 'i=0; while [ $i -lt 300 ]; do i=$((i + 1)); sha256sum /vm/busybox/busybox; done >/dev/null' >"$scratch/probe/vm/suites"
		archive "$scratch/probe" "$scratch/probe.cpio"
		cat "$scratch/$1.cpio" "$scratch/probe.cpio" >"$scratch/probe.all"
		guest "$dir" "$cache/kernels/$1/vmlinuz" "$scratch/probe.all" kvm 30
		[[ $(<"$dir/verdict") != ok ]] || answer=kvm
		rm -rf "$scratch"/probe*
		echo "$boot_id $answer" >"$cache/kvm"
	fi
	echo "$answer"
}
