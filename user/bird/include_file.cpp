// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bird/include_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "util/fd.h"

namespace anycast::bird {

namespace {

// Above what `protocol direct` gives the same prefix (240): a table has one best route, and only
// that is exported.
constexpr int kPreference = 250;
constexpr std::string_view kHead =
	"# Written by anycast-xdp; edits are overwritten. A base configuration includes this file\n"
	"# before its BGP protocols, and says in their channels `export where "
	"anycast_xdp_ebgp();`,\n"
	"# or in those of sessions within the AS `export where anycast_xdp_ibgp();`.\n\n";

std::string tuple(const Community &community)
{
	return fmt::format("({},{})", community.asn, community.value);
}

std::string route_text(const Announcement &announcement, unsigned length)
{
	const BgpAttributes &attributes = announcement.attributes;
	std::string out =
		fmt::format("\troute {}/{} blackhole", announcement.address.text(), length);
	const std::size_t plain = out.size();
	const auto set = [&](std::string_view what) { (out += what) += ";"; };
	out += " {";
	for (const Community &community : attributes.communities)
		set(fmt::format(" bgp_community.add({})", tuple(community)));
	for (const LargeCommunity &large : attributes.large_communities)
		set(fmt::format(" bgp_large_community.add(({},{},{}))", large.asn, large.first,
				large.second));
	if (attributes.med)
		set(fmt::format(" bgp_med = {}", *attributes.med));
	if (attributes.local_pref)
		set(fmt::format(" bgp_local_pref = {}", *attributes.local_pref));
	if (attributes.prepend != 0)
		set(fmt::format(" {} = {}", kPrepend, attributes.prepend));
	if (announcement.draining)
		set(fmt::format(" bgp_community.add({})", tuple(kGracefulShutdown)));
	if (out.size() == plain + 2)
		out.resize(plain);
	else
		out += " }";
	return out + ";\n";
}

// A set that is used must not be empty; nobody announces the unspecified address.
std::string set_text(std::string_view name, const Wanted &wanted, bool v4)
{
	std::vector<std::string> members;
	for (const Address &vip : wanted.vips)
		if (vip.is_v4() == v4)
			members.push_back(fmt::format("{}/{}", vip.text(), wanted.length_of(vip)));
	if (members.empty())
		members.emplace_back(v4 ? "0.0.0.0/32" : "::/128");
	return fmt::format("define {} = [\n\t{}\n];\n", name, fmt::join(members, ",\n\t"));
}

std::string functions_text(std::uint32_t asn)
{
	std::string out =
		fmt::format("\nattribute int {};\n\n"
			    "function {}()\n{{\n"
			    "\tif proto != \"{}\" && proto != \"{}\" then return false;\n"
			    "\t# A MED goes to another AS only if the export filter sets it.\n"
			    "\tif defined(bgp_med) then bgp_med = bgp_med;\n"
			    "\treturn true;\n}}\n\n"
			    "function {}()\n{{\n"
			    "\tif !{}() then return false;\n",
			    kPrepend, kExportIbgp, kStatic4, kStatic6, kExportEbgp, kExportIbgp);
	// Not in the routes themselves: within the AS our own number in a path is a loop.
	for (std::uint32_t i = 1; asn != 0 && i <= kMaxPrepend; i++)
		out += fmt::format("\tif defined({0}) then if {0} >= {1} then "
				   "bgp_path.prepend({2});\n",
				   kPrepend, i, asn);
	return out + "\treturn true;\n}\n";
}

std::string static_text(std::string_view name, const Wanted &wanted, bool v4)
{
	std::string out = fmt::format("\nprotocol static {} {{\n\t{} {{ preference {}; import all; "
				      "export none; }};\n",
				      name, v4 ? "ipv4" : "ipv6", kPreference);
	for (const Announcement &announcement : wanted.announcements)
		if (announcement.address.is_v4() == v4)
			out += route_text(announcement, wanted.length_of(announcement.address));
	return out + "}\n";
}

Status write_all(int file, std::string_view text, const std::string &path)
{
	while (!text.empty()) {
		const ssize_t written = ::write(file, text.data(), text.size());
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return fail_errno(fmt::format("write {}", path), errno);
		text.remove_prefix(static_cast<std::size_t>(written));
	}
	if (::fsync(file) != 0)
		return fail_errno(fmt::format("sync {}", path), errno);
	return {};
}

Status sync_directory(const std::string &path)
{
	const std::string directory = std::filesystem::path(path).parent_path();
	const Fd folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (!folder.valid() || ::fsync(folder.get()) != 0)
		return fail_errno(fmt::format("sync {}", directory), errno);
	return {};
}

// `error`: errno of what failed.
Status replace_by_rename(const std::string &path, std::string_view text, unsigned mode, int &error)
{
	const std::string fresh = path + ".tmp";
	Status written;
	{
		const Fd file(
			::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
		if (!file.valid() && (error = errno) != 0)
			return fail_errno(fmt::format("write {}", fresh), error,
					  error == EACCES || error == EROFS
						  ? "the directory of [bird] include must be "
						    "writable for us"
						  : "");
		// BIRD runs as a user of its own and must read it, whatever our umask is.
		if (::fchmod(file.get(), mode) != 0)
			written = fail_errno(fmt::format("chmod {}", fresh), errno);
		// Root's commands and an agent with a user of its own write the same files.
		struct stat folder {};
		const std::string directory = std::filesystem::path(path).parent_path();
		if (::geteuid() == 0 && ::stat(directory.c_str(), &folder) == 0)
			(void)!::fchown(file.get(), folder.st_uid, folder.st_gid);
		if (written)
			written = write_all(file.get(), text, fresh);
		error = written ? 0 : errno;
	}
	if (written && ::rename(fresh.c_str(), path.c_str()) != 0)
		written = fail_errno(fmt::format("rename {} to {}", fresh, path), errno);
	if (!written) {
		::unlink(fresh.c_str());
		return written;
	}
	return sync_directory(path);
}

// On a full disk a shorter text, such as a withdrawal, still fits where the old one is.
Status replace_in_place(const std::string &path, std::string_view text)
{
	const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
	struct stat info {};
	if (!file.valid() || ::fstat(file.get(), &info) != 0)
		return fail_errno(fmt::format("open {}", path), errno);
	if (static_cast<std::size_t>(info.st_size) < text.size())
		return fail_errno(fmt::format("write {}", path), ENOSPC);
	AX_TRY(write_all(file.get(), text, path));
	if (::ftruncate(file.get(), static_cast<off_t>(text.size())) != 0 ||
	    ::fsync(file.get()) != 0)
		return fail_errno(fmt::format("truncate {}", path), errno);
	return {};
}

} // namespace

std::string include_text(const Wanted &wanted)
{
	std::string out(kHead);
	out += set_text(kVips4, wanted, true);
	out += set_text(kVips6, wanted, false);
	out += functions_text(wanted.asn);
	out += static_text(kStatic4, wanted, true);
	out += static_text(kStatic6, wanted, false);
	return out;
}

Result<std::map<Address, Reach>> reach_in(std::string_view include_text)
{
	constexpr std::string_view kRoute = "\troute ";
	const std::string drained = fmt::format("bgp_community.add({})", tuple(kGracefulShutdown));
	std::map<Address, Reach> reach;
	std::istringstream lines{std::string(include_text)};
	for (std::string line; std::getline(lines, line);) {
		if (!line.starts_with(kRoute))
			continue;
		const std::size_t slash = std::min(line.find('/'), line.size());
		const auto address = Address::parse(
			std::string_view(line).substr(0, slash).substr(kRoute.size()));
		if (!address)
			return fail(Exit::kFailed,
				    fmt::format("BIRD's include file: not our line: \"{}\"", line),
				    "it is written by anycast-xdp only; remove the file and "
				    "announce again");
		reach[*address] =
			line.find(drained) == line.npos ? Reach::kAnnounced : Reach::kDraining;
	}
	return reach;
}

Result<std::string> read_file(const std::string &path)
{
	const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
	if (!file.valid() && errno == ENOENT)
		return std::string();
	if (!file.valid())
		return fail_errno(fmt::format("read {}", path), errno);
	std::string text;
	char buffer[65536];
	for (;;) {
		const ssize_t got = ::read(file.get(), buffer, sizeof(buffer));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_errno(fmt::format("read {}", path), errno);
		if (got == 0)
			return text;
		text.append(buffer, static_cast<std::size_t>(got));
	}
}

Status replace_file(const std::string &path, std::string_view text, unsigned mode)
{
	std::error_code failed;
	std::filesystem::create_directories(std::filesystem::path(path).parent_path(), failed);
	if (failed)
		return fail_errno(fmt::format("make the directory of {}", path), failed.value());
	int error = 0;
	Status replaced = replace_by_rename(path, text, mode, error);
	if (!replaced && (error == ENOSPC || error == EDQUOT) && replace_in_place(path, text))
		return {};
	return replaced;
}

} // namespace anycast::bird
