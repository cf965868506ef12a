# shellcheck shell=bash disable=SC2154  # cache, out, scratch, suites, extra and here are set by `run`
# Initramfs = base archive (same for all kernels: busybox, suites, libraries, tools) + modules of one kernel.
# Every file has the path it has on this machine, so paths compiled into a suite stay true.

readonly tools=(sh bash ip tc bridge ethtool nsenter unshare bpftool bird birdc curl xdp-loader xdp-filter xdpdump
	ss ping nft strace)
readonly tool_data=(/etc/iproute2 /usr/share/iproute2 /usr/lib/tc /usr/lib/x86_64-linux-gnu/{bpf,tc}
	/etc/protocols /etc/services)

quote() {
	printf "'%s'" "${1//\'/\'\\\'\'}"
}

# stage FILE: copies it, and the shared libraries it wants, into $base.
stage() {
	local file=$1 libs lib
	libs=$(LC_ALL=C ldd "$file" 2>/dev/null)
	if lib=$(grep -m1 'not found' <<<"$libs"); then
		echo "$file: shared library${lib%%=>*}not found"
		return 1
	fi
	while read -r lib; do
		[[ -e $base$lib ]] || { mkdir -p "$base${lib%/*}" && cp -L "$lib" "$base$lib"; } || return
	done < <(grep -oE '/[^ ]+' <<<"$libs")
	[[ -e $base$file ]] || { mkdir -p "$base${file%/*}" && cp -L "$file" "$base$file"; }
}

# A test program is mostly debug information, which would fill the guest's memory.
stage_stripped() {
	stage "$1" || return
	case $(head -c 4 "$1" | tr -d '\0') in
	$'\177ELF') strip --strip-debug "$base$1" 2>/dev/null || : ;;
	esac
}

stage_tools() {
	local tool path applet
	for tool in "${tools[@]}"; do
		path=$(PATH=$PATH:/usr/sbin:/sbin command -v "$tool") || continue
		stage "$(realpath -s "$path")" || return
	done
	for path in "${tool_data[@]}"; do
		[[ ! -e $path ]] || { mkdir -p "$base${path%/*}" && cp -rL "$path" "$base${path%/*}/"; }
	done
	path=$(command -v busybox) || { echo "no busybox: install busybox-static"; return 1; }
	! ldd "$path" >/dev/null 2>&1 || { echo "$path is not static: install busybox-static"; return 1; }
	# Last in PATH, and never as /bin/sh: its shell runs its own `ip` instead of the one in PATH.
	mkdir -p "$base/vm/busybox" && cp "$path" "$base/vm/busybox/busybox"
	for applet in $("$path" --list); do
		[[ $applet == busybox ]] || ln -s busybox "$base/vm/busybox/$applet" || return
	done
	[[ -e $base/bin/sh ]] || ln -s /vm/busybox/busybox "$base/bin/sh"
}

# pack_base: $scratch/base.cpio; prints the reason when that fails.
pack_base() {
	local base=$scratch/base dir word command index=0
	mkdir -p "$base"/{usr/{bin,sbin,lib,lib64},dev,proc,sys,tmp,run,root,var/lib,etc,vm} || return
	for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$base/$dir"; done
	ln -s /run "$base/var/run"
	stage_tools || return
	for word in "${extra[@]}"; do
		if [[ -d $word ]]; then
			mkdir -p "$base${word%/*}" && cp -rL "$word" "$base${word%/*}/"
		else
			stage_stripped "$word"
		fi || { echo "cannot pack $word"; return 1; }
	done
	printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/:/bin/false >"$base/etc/passwd"
	printf '%s\n' root:x:0: nogroup:x:65534: >"$base/etc/group"
	# Debian's bird drops to the user it was built for.
	grep -h '^bird:' /etc/passwd >>"$base/etc/passwd"
	grep -h '^bird:' /etc/group >>"$base/etc/group"
	printf '127.0.0.1 localhost\n::1 localhost\n' >"$base/etc/hosts"
	printf 'passwd: files\ngroup: files\nhosts: files\n' >"$base/etc/nsswitch.conf"

	mkdir -p "$base$PWD"
	{
		echo "cd $(quote "$PWD")"
		for command in "${suites[@]}"; do
			local words=()
			IFS=$'\t' read -ra words <<<"$command"
			stage_stripped "${words[0]}" || return
			index=$((index + 1))
			printf 'suite %d %s' "$index" "${words[0]##*/}"
			for word in "${words[@]}"; do printf ' %s' "$(quote "$word")"; done
			echo
		done
	} >"$base/vm/suites" || { echo "cannot pack the suites"; return 1; }
	install -m 755 "${AX_VM_INIT:-$here/init}" "$base/init" || return
	archive "$base" "$scratch/base.cpio"
}

archive() {
	(cd "$1" && find . -print0 | LC_ALL=C sort -z | cpio --null --quiet -o -H newc --owner=+0:+0) >"$2" 2>"$2.log" ||
		{ echo "cannot pack: $(tail -n 1 "$2.log")"; return 1; }
}

# pack NAME: $scratch/NAME.cpio
pack() {
	local name=$1 kernel=$cache/kernels/$1 stage=$scratch/$1 release module options path target order=100
	local -A seen=()
	release=$(<"$kernel/release")
	mkdir -p "$stage/vm/modules" || return
	while read -r module options; do
		[[ $module && $module != '#'* ]] || continue
		while read -r word path _; do
			[[ $word == insmod && ! ${seen[$path]-} ]] || continue
			seen[$path]=1 order=$((order + 1))
			target=${path##*/}
			target=$stage/vm/modules/$order-${target%%.ko*}.ko
			case $path in
			*.ko) cp "$path" "$target" ;;
			*.ko.xz) xz -dc "$path" >"$target" ;;
			*.ko.zst) zstd -qdc "$path" >"$target" ;;
			*.ko.gz) gzip -dc "$path" >"$target" ;;
			*) echo "module of unknown kind: $path" && return 1 ;;
			esac || { echo "cannot unpack $path"; return 1; }
			[[ ! $options ]] || echo "$options" >"${target%.ko}.options"
		done < <(/sbin/modprobe -d "$kernel/tree" -S "$release" --show-depends "$module" 2>/dev/null ||
			echo "$module" >>"$stage/vm/missing")
	done <"$here/modules.list"
	archive "$stage" "$scratch/$name.modules" || return
	cat "$scratch/base.cpio" "$scratch/$name.modules" >"$scratch/$name.cpio" 2>"$out/$name/cat.log" ||
		{ echo "cannot pack: $(tail -n 1 "$out/$name/cat.log")"; return 1; }
	rm -rf "$stage" "$scratch/$name.modules" "$out/$name/cat.log"
}
