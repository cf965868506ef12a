// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/sharing.h"

#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <filesystem>

#include <linux/magic.h>

#include "kernel/pins.h"

namespace anycast {

namespace fs = std::filesystem;

namespace {

Status give(const std::string &path, gid_t group, mode_t mode)
{
	if (chown(path.c_str(), static_cast<uid_t>(-1), group) || chmod(path.c_str(), mode))
		return fail_errno("give " + path + " to [agent] group", errno);
	return {};
}

// The directory and its files, and the directories above it that are ours too.
Status give_all(const std::string &directory, const std::string &root, gid_t group)
{
	for (const std::string &name : entries_of(directory))
		if (const std::string path = directory + "/" + name; fs::is_regular_file(path))
			AX_TRY(give(path, group, 0660));
	// Set-group-ID: what is made there later is the group's as well.
	for (std::string path = directory; path.size() > root.size(); path.erase(path.rfind('/')))
		AX_TRY(give(path, group, 02770));
	return {};
}

// systemd mounts it with mode 0700. Who may pass still needs a right to each pin.
Status let_pass(const std::string &pins)
{
	fs::path path = fs::path(pins).parent_path();
	struct statfs info {};
	struct stat mode {};
	if (statfs(path.c_str(), &info) ||
	    static_cast<std::uint64_t>(info.f_type) != BPF_FS_MAGIC || stat(path.c_str(), &mode) ||
	    mode.st_mode & S_IXOTH)
		return {};
	if (chmod(path.c_str(), (mode.st_mode & 07777) | S_IXOTH))
		return fail_errno("let [agent] group pass through " + path.string(), errno);
	return {};
}

} // namespace

Status share_with_group(const Paths &paths, const std::string &interface, gid_t group)
{
	AX_TRY(let_pass(paths.pins));
	AX_TRY(give_all(pin_directory(paths, interface), paths.pins, group));
	AX_TRY(give(paths.pins, group, 02750));
	return give_all(state_directory(paths, interface), paths.state, group);
}

} // namespace anycast
