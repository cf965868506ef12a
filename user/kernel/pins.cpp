// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/pins.h"

#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <filesystem>

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/magic.h>

#include "kernel/attachment.h"

namespace anycast {

namespace fs = std::filesystem;

std::string netns_name()
{
	struct stat info {};

	// Not /proc/self: that is the main thread's.
	if (::stat("/proc/thread-self/ns/net", &info) != 0)
		return "0";
	return std::to_string(info.st_ino);
}

std::string pin_directory(const Paths &paths, const std::string &interface)
{
	return fmt::format("{}/v{}/{}/{}", paths.pins, AX_ABI_VERSION, netns_name(), interface);
}

std::string state_directory(const Paths &paths, const std::string &interface)
{
	return fmt::format("{}/{}/{}", paths.state, netns_name(), interface);
}

Status require_bpffs(const std::string &path)
{
	std::error_code ignored;
	fs::path existing = fs::absolute(path, ignored);
	struct statfs info {};

	while (!fs::exists(existing, ignored) && existing.has_relative_path())
		existing = existing.parent_path();
	if (::statfs(existing.c_str(), &info) != 0)
		return fail_errno(fmt::format("look at {}", existing.string()), errno);
	if (static_cast<std::uint64_t>(info.f_type) == BPF_FS_MAGIC)
		return {};
	return fail(Exit::kFailed, fmt::format("no BPF file system is mounted at {}", path),
		    "mount -t bpf bpf /sys/fs/bpf");
}

Status make_directories(const std::string &path)
{
	std::error_code error;

	fs::create_directories(path, error);
	if (error)
		return fail_errno(fmt::format("make directory {}", path), error.value());
	return {};
}

Status require_readable(const std::string &directory)
{
	std::error_code error;
	const fs::directory_iterator entry(directory, error);

	if (error.value() != EACCES && error.value() != EPERM)
		return {};
	return fail_errno(fmt::format("read {}", directory), error.value(),
			  "root is needed, or the group that [agent] group names");
}

std::set<std::string> entries_of(const std::string &directory)
{
	std::set<std::string> names;
	std::error_code error;

	for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
	     entry.increment(error))
		names.insert(entry->path().filename());
	return names;
}

std::vector<std::string> remove_directory(const std::string &directory, const std::string &root)
{
	std::vector<std::string> kept;

	for (const std::string &name : entries_of(directory)) {
		const std::string path = directory + "/" + name;
		if (::unlink(path.c_str()) != 0 && errno != ENOENT)
			kept.push_back(path);
	}
	std::string path = directory;
	while (path.size() > root.size() && ::rmdir(path.c_str()) == 0)
		path.erase(path.rfind('/'));
	return kept;
}

std::string staged_pin(const std::string &path)
{
	return path + "_new"; // bpffs refuses names with a dot
}

Status stage_pin(int fd, const std::string &path)
{
	const std::string staged = staged_pin(path);

	::unlink(staged.c_str());
	if (int error = bpf_obj_pin(fd, staged.c_str()))
		return fail_errno(fmt::format("pin {}", staged), error);
	share_staged_pin(path);
	return {};
}

void share_staged_pin(const std::string &path)
{
	const std::string staged = staged_pin(path);
	struct stat older {};

	// Who may not give it away leaves that to share_with_group(): no reason to stop here.
	if (::stat(path.c_str(), &older) == 0 &&
	    ::chown(staged.c_str(), older.st_uid, older.st_gid) == 0)
		(void)::chmod(staged.c_str(), older.st_mode & 07777);
}

Status commit_pin(const std::string &path)
{
	const std::string staged = staged_pin(path);

	if (::rename(staged.c_str(), path.c_str()) != 0)
		return fail_errno(fmt::format("rename {} to {}", staged, path), errno);
	return {};
}

} // namespace anycast
