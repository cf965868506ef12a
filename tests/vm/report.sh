# shellcheck shell=bash disable=SC2154  # cache, out, accel and the row_* tables are set by `run`
# Turns the logs of the guests into a table, $out/results.tsv and the closing line.

readonly splats='WARNING: |BUG: |BUG |Oops|general protection fault|detected( expedited)? stall|verifier.*bug|KASAN|KFENCE|UBSAN|refcount_t:|soft lockup|blocked for more than|unregister_netdevice: waiting|(list_add|list_del) corruption|scheduling while atomic'
# Not splats, or told otherwise.
readonly harmless='ommand line:|Kernel panic'
passed=0 failed=0 skipped=0
notes=()

# suite_lines LOG: name, passed, failed, skipped, exit code, seconds of every suite that was started.
suite_lines() {
	tr -d '\r' <"$1" | awk -v OFS='\t' '
		/^@@vm start / { name = $4; last = "" }
		/^([A-Za-z]+: )?[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/ { last = $0 }
		/^@@vm end / { emit($5, $6); name = "" }
		END { if (name) emit("unfinished", "-") }
		function emit(code, secs,   n, words) {
			sub(/^[A-Za-z]+: /, "", last)
			n = split(last, words, " ")
			if (n) print name, words[1], words[3], (n > 4 ? words[5] : 0), code, secs
			else print name, "-", "-", "-", code, secs
		}'
}

# problem NAME TEXT: one more failure, told after the table.
problem() {
	failed=$((failed + 1))
	notes+=("FAILED $1: $2")
}

row() {
	printf '%-6s %-27s %-5s %6s  %-22s %7s %7s %8s %8s\n' "$@"
	(IFS=$'\t' && echo "$*") >>"$out/results.tsv"
}

report_kernel() {
	local name=$1 dir=$out/$1 kernel=$cache/kernels/$1 release verdict boot lines suite pass fail skip code secs line found
	if [[ -s $dir/missing ]]; then
		row "$name" - - - 'no guest' - - - -
		if [[ ${row_optional[$name]} ]]; then
			skipped=$((skipped + 1))
			notes+=("skipped $name: $(<"$dir/missing"); optional: ${row_optional[$name]}")
		else
			problem "$name" "$(<"$dir/missing")"
		fi
		return
	fi
	release=$(<"$kernel/release") verdict=$(cat "$dir/verdict" 2>/dev/null || echo 'the harness itself stopped')
	boot=$(cat "$dir/boot" 2>/dev/null || echo -)
	[[ $verdict == ok ]] || problem "$name" "$verdict (see $dir)"

	mapfile -t lines < <(suite_lines "$dir/suites.log")
	((${#lines[@]})) || row "$name" "$release" "$accel" "$boot" 'no suite ran' - - - "$(<"$dir/total")"
	for line in "${lines[@]}"; do
		IFS=$'\t' read -r suite pass fail skip code secs <<<"$line"
		row "$name" "$release" "$accel" "$boot" "$suite" "$pass" "$fail" "$skip" "$secs"
		if [[ $pass == - ]]; then
			[[ $code == unfinished ]] || problem "$name" "$suite: no result line, exit code $code"
			continue
		fi
		passed=$((passed + pass)) failed=$((failed + fail)) skipped=$((skipped + skip))
		((pass + fail + skip)) || problem "$name" "$suite: ran no test"
		[[ $code =~ ^(0|unfinished)$ || $fail != 0 ]] || problem "$name" "$suite: exit code $code"
	done
	while read -r line; do
		notes+=("       $name: $line")
	done < <(tr -d '\r' <"$dir/suites.log" | grep -E '^\[  FAILED  \] |: Failure$' |
		grep -vE ' \([0-9]+ ms\)$| tests?, listed below:$' | sort | uniq -c | head -n 30)
	while read -r line; do
		problem "$name" "$line"
	done < <(tr -d '\r' <"$dir/suites.log" | sed -n 's/^@@vm problem //p')
	found=$(tr -d '\r' <"$dir/console.log" | grep -E "$splats" | grep -vE "$harmless")
	if [[ $found ]]; then
		problem "$name" "$(wc -l <<<"$found") suspicious kernel messages (see $dir/console.log), the first:"
		notes+=("       $(head -n 1 <<<"$found")")
	fi
	line=$(tr -d '\r' <"$dir/suites.log" | sed -n 's/^@@vm missing //p')
	[[ ! $line ]] || notes+=("note   $name: no such module: $line")
}

# report NAME...: the whole report; its closing line is the harness's.
report() {
	local name
	rm -f "$out/results.tsv"
	echo
	row kernel release accel boot suite passed failed skipped seconds
	for name in "$@"; do report_kernel "$name"; done
	echo
	((${#notes[@]} == 0)) || printf '%s\n' "${notes[@]}" ''
	echo "$passed passed, $failed failed, $skipped skipped"
	((failed == 0))
}
