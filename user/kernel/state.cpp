// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/model_json.h"
#include "kernel/pins.h"

namespace anycast::state {

namespace {

using nlohmann::json;

tl::unexpected<Error> not_written(const std::string &what, const std::string &path)
{
	const int error = errno;
	return fail_errno(fmt::format("{} {}", what, path), error,
			  error == ENOSPC || error == EDQUOT
				  ? "make room there; what runs is as it was"
				  : "");
}

constexpr int kFormat = 1;
constexpr std::string_view kPrefix = "generation-";

std::string file_of(const std::string &directory, std::uint32_t generation)
{
	return fmt::format("{}/{}{}.json", directory, kPrefix, generation);
}

Status write_synced(const std::string &path, const std::string &text)
{
	Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));

	if (!file.valid())
		return not_written("write", path);
	for (std::size_t done = 0; done < text.size();) {
		const ssize_t n = ::write(file.get(), text.data() + done, text.size() - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return not_written("write", path);
		done += static_cast<std::size_t>(n);
	}
	if (::fsync(file.get()) != 0)
		return not_written("sync", path);
	return {};
}

} // namespace

Status write(const std::string &directory, const Applied &applied)
{
	const std::string path = file_of(directory, applied.generation), fresh = path + ".tmp";
	const json document = {
		{"format", kFormat},
		{"generation", applied.generation},
		{"digest", applied.digest},
		{"roles", applied.roles},
		{"mode", applied.mode},
		{"ids", ids_to_json(applied.ids)},
		{"config", config_to_json(applied.config)},
	};

	AX_TRY(make_directories(directory));
	Status written = write_synced(fresh, document.dump(1, '\t') + "\n");
	if (written && ::rename(fresh.c_str(), path.c_str()) != 0)
		written = fail_errno(fmt::format("rename {} to {}", fresh, path), errno);
	if (!written) {
		::unlink(fresh.c_str());
		return written;
	}
	Fd folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (!folder.valid() || ::fsync(folder.get()) != 0) {
		const int error = errno;
		::unlink(path.c_str());
		return fail_errno(fmt::format("sync {}", directory), error);
	}
	return {};
}

Result<Applied> read(const std::string &directory, std::uint32_t generation)
{
	const std::string path = file_of(directory, generation);
	const std::string hint =
		"attach the interface again with its configuration; that keeps its flows";
	std::ifstream file(path);
	std::ostringstream text;
	Applied applied;

	if (!file)
		return fail_errno(fmt::format("the record of the applied configuration, {}", path),
				  errno, hint);
	text << file.rdbuf();
	try {
		const json document = json::parse(text.str());
		if (document.at("format") != kFormat || document.at("generation") != generation)
			return fail(Exit::kFailed, fmt::format("{}: another build wrote it", path),
				    hint);
		document.at("digest").get_to(applied.digest);
		document.at("roles").get_to(applied.roles);
		document.at("mode").get_to(applied.mode);
		auto config = config_from_json(document.at("config"));
		auto ids = ids_from_json(document.at("ids"));
		if (!config || !ids)
			return fail(Exit::kFailed,
				    fmt::format("{}: {}", path,
						(config ? ids.error() : config.error()).what),
				    hint);
		applied.config = std::move(*config);
		applied.ids = std::move(*ids);
	} catch (const json::exception &error) {
		const auto *broken = dynamic_cast<const json::parse_error *>(&error);
		return fail(Exit::kFailed,
			    broken ? fmt::format("{} is damaged: no JSON from byte {} on", path,
						 broken->byte)
				   : fmt::format("{} is damaged: {}", path, error.what()),
			    hint);
	}
	applied.generation = generation;
	return applied;
}

void remove(const std::string &directory, std::uint32_t generation)
{
	::unlink(file_of(directory, generation).c_str());
}

void keep_only(const std::string &directory, std::uint32_t generation)
{
	const std::string kept = file_of(directory, generation);

	for (const std::string &name : entries_of(directory)) {
		const std::string path = directory + "/" + name;
		if (name.starts_with(kPrefix) && path != kept)
			::unlink(path.c_str());
	}
}

void remove_all(const std::string &directory, const std::string &root)
{
	remove_directory(directory, root);
}

Result<Lock> Lock::take(const std::string &directory, double seconds)
{
	using Clock = std::chrono::steady_clock;
	const std::string path = directory + "/lock";
	const auto deadline = Clock::now() + std::chrono::duration<double>(seconds);

	for (;;) {
		AX_TRY(make_directories(directory));
		Lock lock;
		lock.file_ = Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
		if (!lock.file_.valid())
			return fail_errno(fmt::format("open {}", path), errno,
					  errno == EACCES ? "root is needed" : "");
		if (::flock(lock.file_.get(), LOCK_EX | LOCK_NB) == 0) {
			struct stat held {
			}, named{};
			// A detach removes the file: then this is a lock on nothing.
			if (::fstat(lock.file_.get(), &held) != 0 ||
			    ::stat(path.c_str(), &named) != 0 || held.st_ino != named.st_ino)
				continue;
			const std::string pid = std::to_string(::getpid());
			if (::ftruncate(lock.file_.get(), 0) == 0)
				(void)!::pwrite(lock.file_.get(), pid.data(), pid.size(), 0);
			return lock;
		}
		if (errno != EWOULDBLOCK && errno != EINTR)
			return fail_errno(fmt::format("lock {}", path), errno);
		if (Clock::now() >= deadline) {
			char pid[16] = {};
			(void)!::pread(lock.file_.get(), pid, sizeof(pid) - 1, 0);
			return fail(
				Exit::kFailed,
				fmt::format(
					"another command (process {}) works on this interface and "
					"has not finished in {:.0f} s",
					*pid ? pid : "unknown", seconds),
				fmt::format("wait for it, or see what it does: ps {}", pid));
		}
		std::this_thread::sleep_for(std::chrono::milliseconds(20));
	}
}

} // namespace anycast::state
