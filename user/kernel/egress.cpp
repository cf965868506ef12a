// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/egress.h"

#include <unistd.h>

#include <cstring>
#include <string_view>
#include <utility>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include "egress.skel.h"

#include "kernel/features.h"
#include "kernel/hook.h"
#include "kernel/libbpf_log.h"
#include "kernel/map.h"
#include "kernel/pins.h"
#include "kernel/sizes.h"
#include "net/tc.h"
#include "util/fd.h"

namespace anycast::egress {

namespace {

// 6.6; newer than Debian 12's headers. libbpf 1.1 passes on what it does not know.
constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);
constexpr std::uint32_t kLinkTypeTcx = 11;
// Of our filter: a place that others are unlikely to ask for.
constexpr std::uint32_t kPriority = 0xac57, kHandle = 1;

std::string link_pin(const std::string &pins)
{
	return pins + "/" AX_PIN_EGRESS_LINK;
}

// A note more than a pin: a pin directory holds nothing else.
std::string qdisc_pin(const std::string &pins)
{
	return pins + "/" AX_PIN_EGRESS_QDISC;
}

std::string program_pin(const std::string &pins)
{
	return pins + "/" AX_PIN_EGRESS;
}

std::string flows_pin(const std::string &pins)
{
	return pins + "/ax_egress";
}

// Is its map there, but of another size? It follows that of the flow tables.
bool has_other_size(const std::string &pins, const DataplaneSizes &sizes)
{
	const auto flows = Map::open_pinned(flows_pin(pins));

	return flows && flows->max_entries() != egress_entries(sizes);
}

struct Filter {
	bpf_tc_hook hook{};
	bpf_tc_opts options{};
	explicit Filter(int ifindex)
	{
		hook.sz = sizeof(hook);
		hook.ifindex = ifindex;
		hook.attach_point = BPF_TC_EGRESS;
		options.sz = sizeof(options);
		options.handle = kHandle;
		options.priority = kPriority;
	}
};

// The program that the filter in our place runs; 0: none.
std::uint32_t filter_program(int ifindex)
{
	LibbpfLog quiet;
	Filter filter(ifindex);

	return bpf_tc_query(&filter.hook, &filter.options) == 0 ? filter.options.prog_id : 0;
}

// Its place on the hook is ours; who else has a program of that name there? A build that knows no
// tc program leaves it behind when it detaches.
bool has_our_name(std::uint32_t id)
{
	const Fd program(bpf_prog_get_fd_by_id(id)); // needs CAP_SYS_ADMIN
	bpf_prog_info info{};
	std::uint32_t length = sizeof(info);

	return program.valid() && bpf_obj_get_info_by_fd(program.get(), &info, &length) == 0 &&
	       std::string_view(info.name) == AX_EGRESS_PROG_NAME;
}

// Of a command that was killed between the hook and the pin, the staged one may be it.
bool is_ours(const std::string &pins, std::uint32_t id)
{
	for (const std::string &path : {program_pin(pins), staged_pin(program_pin(pins))}) {
		const Fd program(bpf_obj_get(path.c_str()));
		if (id != 0 && program.valid() && hook::program_id(program.get()) == id)
			return true;
	}
	return false;
}

// The program of our link on that device; 0: it holds nothing any more.
std::uint32_t link_program(const Fd &link, int ifindex)
{
	bpf_link_info info{};
	std::uint32_t length = sizeof(info);

	if (!link.valid() || bpf_obj_get_info_by_fd(link.get(), &info, &length) != 0 ||
	    info.type != kLinkTypeTcx)
		return 0;
	// bpf_link_info.tcx begins with the ifindex, as .xdp does.
	return static_cast<int>(info.xdp.ifindex) == ifindex ? info.prog_id : 0;
}

// The qdisc that we made goes with the last filter. One that was there before stays, and so does
// one that others use by now.
Status take_qdisc_off(const std::string &pins, int ifindex)
{
	Filter filter(ifindex);

	if (::access(qdisc_pin(pins).c_str(), F_OK) != 0)
		return {};
	const auto used = has_tc_filters(ifindex);
	if (!used)
		return tl::unexpected(used.error());
	if (!*used) {
		filter.hook.attach_point =
			static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
		const int error = bpf_tc_hook_destroy(&filter.hook);
		if (error != 0 && error != -ENOENT && error != -EINVAL) // else it is gone already
			return fail_errno("take the clsact qdisc off", -error);
	}
	::unlink(qdisc_pin(pins).c_str());
	return {};
}

Status take_filter_off(const std::string &pins, int ifindex)
{
	LibbpfLog log;
	Filter filter(ifindex);

	if (is_ours(pins, filter_program(ifindex)))
		if (int error = bpf_tc_detach(&filter.hook, &filter.options))
			return fail_errno("take the tc filter off", -error);
	return take_qdisc_off(pins, ifindex);
}

Status take_link_off(const std::string &pins, int ifindex)
{
	Fd link(bpf_obj_get(link_pin(pins).c_str()));

	if (link_program(link, ifindex) != 0)
		AX_TRY(hook::remove_link(link.get()));
	::unlink(link_pin(pins).c_str());
	return {};
}

Status put_link(const std::string &pins, const std::string &interface, int ifindex, int program)
{
	Fd link(bpf_obj_get(link_pin(pins).c_str()));

	if (link_program(link, ifindex) != 0) {
		if (int error = bpf_link_update(link.get(), program, nullptr))
			return fail_errno("replace the tc program of the link", error);
		return {};
	}
	::unlink(link_pin(pins).c_str());
	link = Fd(bpf_link_create(program, ifindex, kTcxEgress, nullptr));
	if (!link.valid())
		return fail_errno(fmt::format("attach to what leaves {}", interface), errno);
	if (int error = bpf_obj_pin(link.get(), link_pin(pins).c_str()))
		return fail_errno(fmt::format("pin {}", link_pin(pins)), error);
	return {};
}

Status put_filter(const std::string &pins, const std::string &interface, int ifindex, int program)
{
	LibbpfLog log;
	Filter filter(ifindex);
	const std::uint32_t there = filter_program(ifindex);

	if (there != 0 && !is_ours(pins, there) && !has_our_name(there))
		return fail(
			Exit::kFailed,
			fmt::format("tc filter {} on {} is somebody else's", kPriority, interface),
			fmt::format("tc filter show dev {} egress", interface));
	if (bpf_tc_hook_create(&filter.hook) == 0) // EEXIST: it is there
		bpf_obj_pin(program, qdisc_pin(pins).c_str());
	filter.options.prog_fd = program;
	filter.options.flags = BPF_TC_F_REPLACE;
	if (int error = bpf_tc_attach(&filter.hook, &filter.options))
		return fail_errno(fmt::format("attach to what leaves {} (clsact)", interface),
				  error);
	return {};
}

// What is staged takes its place if its program is on the hook, else it goes: a command was killed.
Status settle(const std::string &pins, int ifindex)
{
	const std::string map = flows_pin(pins), program = program_pin(pins);
	const Fd staged(bpf_obj_get(staged_pin(program).c_str()));
	if (!staged.valid() && errno != ENOENT)
		return fail_errno(fmt::format("open {}", staged_pin(program)), errno);
	const std::uint32_t id = staged.valid() ? hook::program_id(staged.get()) : 0;
	const Fd link(bpf_obj_get(link_pin(pins).c_str()));

	if (id == 0 || (link_program(link, ifindex) != id && filter_program(ifindex) != id)) {
		for (const std::string &path : {map, program})
			::unlink(staged_pin(path).c_str());
		return {};
	}
	if (::access(staged_pin(map).c_str(), F_OK) == 0)
		AX_TRY(commit_pin(map));
	return commit_pin(program);
}

Status put(const std::string &pins, const std::string &interface, int ifindex, int program)
{
	// Before it is on the hook, so that a program of ours there can always be told for ours.
	AX_TRY(stage_pin(program, program_pin(pins)));
	if (has_feature("tcx")) {
		AX_TRY(put_link(pins, interface, ifindex, program));
		AX_TRY(take_filter_off(pins, ifindex)); // by a build, or a kernel, without tcx
	} else {
		AX_TRY(put_filter(pins, interface, ifindex, program));
		AX_TRY(take_link_off(pins, ifindex));
	}
	return {};
}

Error load_failed(int error, const LibbpfLog &log)
{
	Error result;
	const std::string said = log.tail();

	result.what = fmt::format("load the tc program: {}", std::strerror(error));
	if (!said.empty())
		result.what += "\n" + said;
	return result;
}

} // namespace

Loaded::~Loaded()
{
	if (skeleton_)
		egress_bpf__destroy(skeleton_);
}

Loaded::Loaded(Loaded &&other) noexcept : skeleton_(std::exchange(other.skeleton_, nullptr)) {}

int Loaded::program() const
{
	return bpf_program__fd(skeleton_->progs.anycast_egress);
}

int Loaded::flows() const
{
	return bpf_map__fd(skeleton_->maps.ax_egress);
}

Result<Loaded> Loaded::load(const Dataplane &dataplane, const std::string &pins,
			    const Limits &limits)
{
	const DataplaneSizes sizes = dataplane.sizes();
	LibbpfLog log;
	Loaded loaded;

	loaded.skeleton_ = egress_bpf__open();
	if (!loaded.skeleton_)
		return tl::unexpected(load_failed(errno, log));
	egress_bpf &skeleton = *loaded.skeleton_;
	skeleton.rodata->ax_vips = sizes.vips;
	skeleton.rodata->ax_pools = sizes.pools;
	skeleton.rodata->ax_prefix4 = limits.loss_prefix_v4;
	skeleton.rodata->ax_prefix6 = limits.loss_prefix_v6;
	for (bpf_map *map : {skeleton.maps.ax_ctl, skeleton.maps.ax_vip, skeleton.maps.ax_prefix,
			     skeleton.maps.ax_vip_info, skeleton.maps.ax_pool,
			     skeleton.maps.ax_note, skeleton.maps.ax_vip_loss,
			     skeleton.maps.ax_backend_loss, skeleton.maps.ax_prefix_loss})
		if (int error = bpf_map__reuse_fd(map, dataplane.map(bpf_map__name(map)).fd()))
			return tl::unexpected(load_failed(-error, log));
	bpf_map__set_max_entries(skeleton.maps.ax_egress, egress_entries(sizes));
	const std::string own = flows_pin(pins);
	const bool replaced = !pins.empty() && has_other_size(pins, sizes);
	if (!pins.empty())
		bpf_map__set_pin_path(skeleton.maps.ax_egress,
				      (replaced ? staged_pin(own) : own).c_str());
	if (int error = egress_bpf__load(&skeleton))
		return tl::unexpected(load_failed(-error, log));
	if (replaced)
		share_staged_pin(own);
	return loaded;
}

bool is_wanted(const Image &image)
{
	return image.settings.flags & (AX_SETTINGS_WATCH | AX_SETTINGS_CLAMP);
}

Status follow(const std::string &pins, const std::string &interface, int ifindex, bool wanted,
	      const Dataplane &dataplane, const Limits &limits, bool renew)
{
	const bool there = !look(pins, ifindex).empty();

	if (!wanted)
		return there ? take_off(pins, ifindex) : Status{};
	AX_TRY(settle(pins, ifindex));
	if (there && !renew && !has_other_size(pins, dataplane.sizes()))
		return {};
	auto loaded = Loaded::load(dataplane, pins, limits);
	if (!loaded)
		return tl::unexpected(std::move(loaded.error()));
	Status done = put(pins, interface, ifindex, loaded->program());
	const Status settled = settle(pins, ifindex);
	return done ? settled : done;
}

std::string not_seen(const Error &error)
{
	return fmt::format("what the servers of this node send is not seen, so loss beyond it is "
			   "unknown, and clamp_mss_to_mtu has no effect: {}",
			   error.what);
}

Status take_off(const std::string &pins, int ifindex)
{
	AX_TRY(take_link_off(pins, ifindex));
	AX_TRY(take_filter_off(pins, ifindex));
	for (const std::string &path : {program_pin(pins), flows_pin(pins)}) {
		::unlink(path.c_str());
		::unlink(staged_pin(path).c_str());
	}
	return {};
}

std::string look(const std::string &pins, int ifindex)
{
	const Fd link(bpf_obj_get(link_pin(pins).c_str()));

	if (link_program(link, ifindex) != 0)
		return "tcx";
	return is_ours(pins, filter_program(ifindex)) ? "clsact" : "";
}

} // namespace anycast::egress
