# shellcheck shell=bash disable=SC2154  # cache, out, refresh and the row_* tables are set by `run`
# Kernels: from Debian packages into $cache/kernels/NAME/{vmlinuz,release,version,tree/}.

apt_dir=
apt_state=unknown # then: updated | failed
readonly update_limit=240 download_limit=300

write_apt_config() {
	apt_dir=$cache/apt
	mkdir -p "$apt_dir"/{state/lists/partial,cache/archives/partial} || return
	# Read with -c, after the system's own files, so that its proxy settings stay and its hooks go.
	cat >"$apt_dir/apt.conf" <<-EOF
		#clear APT::Update;
		#clear DPkg;
		Dir::Etc::sourcelist "$apt_dir/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		Dir::State "$apt_dir/state";
		Dir::State::status "/dev/null";
		Dir::Cache "$apt_dir/cache";
		Dir::Cache::pkgcache "pkgcache.bin";
		Dir::Cache::srcpkgcache "srcpkgcache.bin";
		Dir::Log "/dev/null";
		APT::Architecture "amd64";
		APT::Architectures { "amd64"; };
		APT::Get::List-Cleanup "false";
		Acquire::Languages "none";
		Acquire::http::Timeout "20";
		Acquire::https::Timeout "20";
		Acquire::Retries "1";
	EOF
	# apt run by root would drop to _apt, which cannot write below a home directory.
	((EUID)) || echo 'APT::Sandbox::User "root";' >>"$apt_dir/apt.conf"
}

# The mirror is whatever this machine's apt uses; its name stands nowhere in the tree.
write_apt_sources() {
	local keyring=/usr/share/keyrings/debian-archive-keyring.gpg main security suite uri codename name
	[[ -r $keyring ]] || { echo "no $keyring: install debian-archive-keyring"; return 1; }
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	main=$(apt-get indextargets --format "\$(REPO_URI) \$(RELEASE)" 'Created-By: Packages' 2>/dev/null |
		awk -v c="$codename" '$2 == c { print $1; exit }')
	security=$(apt-get indextargets --format "\$(REPO_URI) \$(RELEASE)" 'Created-By: Packages' 2>/dev/null |
		awk -v c="$codename-security" '$2 == c { print $1; exit }')
	[[ $main ]] || { echo "/etc/apt names no mirror of Debian ${codename:-(unknown release)}"; return 1; }

	for name in "$@"; do tr ',' '\n' <<<"${row_suites[$name]}"; done | sort -u | while read -r suite; do
		uri=$main
		# Where the system has no security mirror, point releases of the main archive must do.
		[[ $suite != *-security ]] || uri=$security
		[[ ! $uri ]] || echo "deb [signed-by=$keyring] $uri $suite main"
	done >"$apt_dir/sources.list"
}

# update_lists NAME...: once per run, for all kernels that are not in the cache.
update_lists() {
	local why
	[[ $apt_state == unknown ]] || return 0
	apt_state=failed
	write_apt_config || { apt_error="cannot write below $cache"; return 0; }
	why=$(write_apt_sources "$@") || { apt_error=$why; return 0; }
	if timeout -k 5 $update_limit apt-get -c "$apt_dir/apt.conf" update >"$out/apt.log" 2>&1; then
		# A mirror that does not answer is only a warning to apt, with exit code 0.
		grep -qE '^(Err:|W: Failed to fetch)' "$out/apt.log" || apt_state=updated
	fi
	[[ $apt_state == updated ]] || { apt_error=$(apt_log_reason) && echo "$apt_error"; }
}

apt_log_reason() {
	# apt puts the reason in the line after "Err:".
	local line
	line=$(grep -A1 -m1 '^Err:' "$out/apt.log" | tail -n 1 | sed 's/^ *//')
	[[ $line ]] || line=$(grep -m1 -E '^[EW]:' "$out/apt.log")
	echo "mirror: ${line:-no answer in $update_limit s} (see $out/apt.log)"
}

can_download() {
	apt-get -c "$apt_dir/apt.conf" download --print-uris "$1" >/dev/null 2>&1
}

# Prints the packages to unpack for the newest kernel whose image package matches $1.
choose_packages() {
	local pattern=$1 image dep packages
	while read -r image; do
		# From 6.19 on the image package is empty: kernel and modules are its dependencies. The module index
		# in linux-base- is wanted too, but depmod can do without.
		packages=$image
		for dep in $(apt-cache -c "$apt_dir/apt.conf" show "$image" 2>/dev/null | sed -n 's/^Depends: //p' | head -n 1 |
			grep -oE 'linux-(binary|modules|base)-[0-9][^ ,|]*'); do
			if can_download "$dep"; then
				packages+=" $dep"
			elif [[ $dep != linux-base-* ]]; then
				continue 2
			fi
		done
		can_download "$image" && echo "$packages" && return 0
	done < <(apt-cache -c "$apt_dir/apt.conf" pkgnames linux-image- 2>/dev/null | grep -xE "$pattern(-unsigned)?" |
		# signed before unsigned of the same version
		sed 's/-unsigned$/~unsigned/' | sort -rV | sed 's/~unsigned$/-unsigned/')
	return 1
}

# fetch NAME: nothing to do when cached; prints the reason when the kernel cannot be had (2: no such package).
fetch() {
	local name=$1 dir=$cache/kernels/$1 work packages deb
	[[ ! -s $dir/release || $refresh == 1 ]] || return 0
	if ! packages=$(choose_packages "${row_package[$name]}"); then
		# What the mirror said last time holds while it says nothing, so that a full cache works offline.
		if [[ $apt_state != updated ]]; then
			[[ -s $dir/absent ]] || { echo "$apt_error"; return 1; }
			echo "$(<"$dir/absent")"
			return 2
		fi
		mkdir -p "$dir" && echo "on $(date -I) the mirror had none of ${row_package[$name]}" >"$dir/absent"
		echo "no complete set of packages for ${row_package[$name]} in ${row_suites[$name]}"
		return 2
	fi
	work=$(mktemp -d "$cache/fetch.XXXXXX") || { echo "cannot write to $cache"; return 1; }
	(
		trap 'rm -rf "$work"' EXIT
		cd "$work" || exit
		# shellcheck disable=SC2086
		timeout -k 5 $download_limit apt-get -c "$apt_dir/apt.conf" download $packages >"$out/apt.log" 2>&1 ||
			{ apt_log_reason; exit 1; }
		for deb in *.deb; do
			dpkg-deb -x "$deb" tree 2>"$out/dpkg.log" ||
				{ echo "cannot unpack $deb: $(tail -n 1 "$out/dpkg.log")"; exit 1; }
		done
		dpkg-deb -f "$deb" Version >version
		settle_tree && rm -f ./*.deb && rm -rf "$dir" && mkdir -p "$cache/kernels" && mv "$work" "$dir"
	)
}

# One layout whatever the package's: ./vmlinuz, ./release, ./tree/lib/modules/RELEASE with an index.
settle_tree() {
	local image modules release
	image=$(find tree -name 'vmlinuz*' -type f | head -n 1)
	modules=$(find tree -path '*/lib/modules/*/kernel' -type d | head -n 1)
	[[ $image && $modules ]] || { echo "package without a kernel image or modules"; return 1; }
	modules=${modules%/kernel} release=${modules##*/}
	mkdir -p new/lib/modules && mv "$image" vmlinuz && mv "$modules" new/lib/modules/ && rm -rf tree &&
		mv new tree || return
	/sbin/depmod -b "$PWD/tree" "$release" 2>"$out/depmod.log" ||
		{ echo "depmod: $(tail -n 1 "$out/depmod.log")"; return 1; }
	echo "$release" >release
}
