// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/dispatcher.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <xdp/libxdp.h>
#include <xdp/prog_dispatcher.h>

#include "dispatcher.skel.h"
#include "slot_probe.skel.h"

#include "kernel/libbpf_log.h"

namespace anycast::dispatcher {

namespace {

constexpr const char *kObjectPath = "LIBXDP_OBJECT_PATH";
constexpr const char *kObjectName = "xdp-dispatcher.o";
constexpr const char *kSlot = "prog0";

struct CloseChain {
	void operator()(xdp_multiprog *chain) const { xdp_multiprog__close(chain); }
};
struct CloseProgram {
	void operator()(xdp_program *program) const { xdp_program__close(program); }
};
struct CloseSkeleton {
	void operator()(dispatcher_bpf *skeleton) const { dispatcher_bpf__destroy(skeleton); }
};
struct CloseProbe {
	void operator()(slot_probe_bpf *skeleton) const { slot_probe_bpf__destroy(skeleton); }
};
using Chain = std::unique_ptr<xdp_multiprog, CloseChain>;
using XdpProgram = std::unique_ptr<xdp_program, CloseProgram>;

xdp_attach_mode libxdp_mode(XdpMode mode)
{
	switch (mode) {
	case XdpMode::kGeneric:
		return XDP_MODE_SKB;
	case XdpMode::kOffload:
		return XDP_MODE_HW;
	default:
		return XDP_MODE_NATIVE;
	}
}

Status failed(const std::string &what, long error, const LibbpfLog &log)
{
	const std::string said = log.tail();

	return fail_errno(said.empty() ? what : what + "\n" + said + "\n", static_cast<int>(error),
			  "the dispatcher needs BPF programs of type ext: `anycast-xdp features`");
}

// While it lives, libxdp makes dispatchers from our object (see bpf/dispatcher.bpf.c). libxdp reads
// it from a directory only.
class OurObject {
public:
	OurObject() = default;
	OurObject(const OurObject &) = delete;
	OurObject &operator=(const OurObject &) = delete;
	~OurObject()
	{
		if (directory_.empty())
			return;
		if (before_.empty())
			::unsetenv(kObjectPath);
		else
			::setenv(kObjectPath, before_.c_str(), 1);
		::unlink((directory_ + "/" + kObjectName).c_str());
		::rmdir(directory_.c_str());
	}

	Status offer()
	{
		const char *before = std::getenv(kObjectPath);
		std::string directory = std::string(P_tmpdir) + "/anycast-xdp.XXXXXX";
		std::size_t size = 0;
		const void *object = dispatcher_bpf__elf_bytes(&size);

		if (!::mkdtemp(directory.data()))
			return fail_errno("make a directory in " P_tmpdir, errno);
		directory_ = directory;
		before_ = before ? before : "";
		const std::string path = directory_ + "/" + kObjectName;
		const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
		if (!file.valid() ||
		    ::write(file.get(), object, size) != static_cast<ssize_t>(size))
			return fail_errno(fmt::format("write {}", path), errno);
		::setenv(kObjectPath, directory_.c_str(), 1);
		return {};
	}

private:
	std::string directory_, before_;
};

Chain chain_of(int ifindex)
{
	xdp_multiprog *raw = xdp_multiprog__get_from_ifindex(ifindex);

	if (libxdp_get_error(raw))
		return {};
	Chain chain(raw);
	return xdp_multiprog__is_legacy(raw) ? Chain() : std::move(chain);
}

struct Member {
	std::uint32_t id;
	std::string name;
};

// What runs under a dispatcher. Remembered, since libxdp 1.3 leaves four descriptors open whenever
// it is asked, and the agent asks as long as it runs; libxdp does not change a dispatcher, but puts
// another in its place. Nothing: it is not libxdp's.
std::optional<std::vector<Member>> members_of(const Attached &attached)
{
	static std::mutex guard;
	static std::map<int, std::pair<std::uint32_t, std::vector<Member>>> known; // by ifindex

	const std::lock_guard lock(guard);
	auto &[id, members] = known[attached.ifindex];
	if (id != 0 && id == attached.program_id)
		return members;
	LibbpfLog quiet;
	const Chain chain = chain_of(attached.ifindex);
	if (!chain)
		return std::nullopt;
	id = xdp_program__id(xdp_multiprog__main_prog(chain.get()));
	members.clear();
	xdp_program *program = nullptr;
	while ((program = xdp_multiprog__next_prog(program, chain.get())))
		members.push_back({xdp_program__id(program), xdp_program__name(program)});
	return members;
}

bool uses_map(int program_fd, std::uint32_t map)
{
	std::array<std::uint32_t, 64> ids{};
	bpf_prog_info info{};
	std::uint32_t length = sizeof(info);

	info.nr_map_ids = ids.size();
	info.map_ids = reinterpret_cast<std::uintptr_t>(ids.data());
	if (bpf_obj_get_info_by_fd(program_fd, &info, &length) != 0)
		return false;
	const auto end = ids.begin() + std::min<std::size_t>(info.nr_map_ids, ids.size());
	return std::find(ids.begin(), end, map) != end;
}

Result<std::uint32_t> pinned_map_id(const std::string &path)
{
	const Fd map(bpf_obj_get(path.c_str()));
	bpf_map_info info{};
	std::uint32_t length = sizeof(info);

	if (!map.valid() || bpf_obj_get_info_by_fd(map.get(), &info, &length) != 0)
		return fail_errno(fmt::format("open {}", path), errno);
	return info.id;
}

Result<Fd> template_of_slots()
{
	LibbpfLog log;
	const std::unique_ptr<dispatcher_bpf, CloseSkeleton> skeleton(dispatcher_bpf__open());
	xdp_dispatcher_config config{};

	// Slots that nobody calls are cut out of a loaded program.
	config.magic = XDP_DISPATCHER_MAGIC;
	config.dispatcher_version = XDP_DISPATCHER_VERSION;
	config.num_progs_enabled = 2;
	if (!skeleton ||
	    bpf_map__set_initial_value(skeleton->maps.rodata, &config, sizeof(config)) != 0 ||
	    dispatcher_bpf__load(skeleton.get()) != 0)
		return tl::unexpected(failed("load a dispatcher", errno, log).error());
	Fd program(::fcntl(bpf_program__fd(skeleton->progs.xdp_dispatcher), F_DUPFD_CLOEXEC, 0));
	if (!program.valid())
		return fail_errno("duplicate a program's descriptor", errno);
	return program;
}

} // namespace

void describe(Attached &attached)
{
	// The kernel cuts the name off after 15 characters.
	if (!attached.program_name.starts_with("xdp_dispatcher"))
		return;
	const auto members = members_of(attached);
	if (!members)
		return;

	attached.dispatcher = true;
	for (const Member &member : *members) {
		attached.chain.push_back(member.name);
		if (attached.our_program_id && member.id == attached.our_program_id)
			attached.ours = true;
	}
}

Status make_extension(bpf_program *program, Fd &slots)
{
	auto loaded = template_of_slots();

	if (!loaded)
		return tl::unexpected(std::move(loaded.error()));
	slots = std::move(*loaded);
	bpf_program__set_type(program, BPF_PROG_TYPE_EXT);
	bpf_program__set_expected_attach_type(program, static_cast<bpf_attach_type>(0));
	if (int error = bpf_program__set_attach_target(program, slots.get(), kSlot))
		return fail_errno("find the dispatcher's slot", error);
	return {};
}

int probe()
{
	LibbpfLog quiet;
	Fd slots;
	const std::unique_ptr<slot_probe_bpf, CloseProbe> skeleton(slot_probe_bpf__open());

	if (!skeleton || !make_extension(skeleton->progs.slot_probe, slots))
		return EPERM;
	return -slot_probe_bpf__load(skeleton.get());
}

Status add(int program_fd, const Attached &attached)
{
	LibbpfLog log;
	OurObject object;
	AX_TRY(object.offer());
	xdp_program *raw = xdp_program__from_fd(program_fd);

	if (long error = libxdp_get_error(raw))
		return failed("hand the program to libxdp", error, log);
	const XdpProgram handle(raw);
	// XDP_PASS goes on to the programs behind us; everything else is final.
	xdp_program__set_chain_call_enabled(raw, XDP_PASS, true);
	if (int error = xdp_program__attach(raw, attached.ifindex, libxdp_mode(attached.mode), 0))
		return failed(fmt::format("join the dispatcher on {}", attached.interface), error,
			      log);
	return {};
}

Status remove(const std::string &pins, const Attached &attached, const Leaves &leaves)
{
	LibbpfLog log;
	OurObject object;
	const auto control = pinned_map_id(pins + "/ax_ctl");
	const Chain chain = chain_of(attached.ifindex);
	std::vector<xdp_program *> leaving;
	xdp_program *program = nullptr;

	if (!control)
		return tl::unexpected(control.error());
	if (!chain)
		return {};
	while ((program = xdp_multiprog__next_prog(program, chain.get()))) {
		if (uses_map(xdp_program__fd(program), *control) &&
		    leaves(xdp_program__id(program)))
			leaving.push_back(program);
	}
	if (leaving.empty())
		return {};
	AX_TRY(object.offer());
	if (int error = xdp_program__detach_multi(leaving.data(), leaving.size(), attached.ifindex,
						  libxdp_mode(attached.mode), 0))
		return failed(fmt::format("leave the dispatcher on {}", attached.interface), error,
			      log);
	return {};
}

bool runs_before(const Attached &attached, std::uint32_t first, std::uint32_t second)
{
	LibbpfLog quiet;
	const Chain chain = chain_of(attached.ifindex);
	xdp_program *program = nullptr;

	while (chain && (program = xdp_multiprog__next_prog(program, chain.get()))) {
		const std::uint32_t id = xdp_program__id(program);
		if (id == first || id == second)
			return id == first;
	}
	return false;
}

} // namespace anycast::dispatcher
