// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/dispatcher.h"

#include <memory>

#include <fmt/format.h>
#include <xdp/libxdp.h>

#include "kernel/libbpf_log.h"

namespace anycast::dispatcher {

namespace {

struct CloseChain {
	void operator()(xdp_multiprog *chain) const { xdp_multiprog__close(chain); }
};
struct CloseProgram {
	void operator()(xdp_program *program) const { xdp_program__close(program); }
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

} // namespace

void describe(Attached &attached)
{
	// The kernel cuts the name off after 15 characters.
	if (!attached.program_name.starts_with("xdp_dispatcher"))
		return;
	LibbpfLog quiet;
	xdp_multiprog *raw = xdp_multiprog__get_from_ifindex(attached.ifindex);
	if (libxdp_get_error(raw))
		return;
	const Chain chain(raw);
	if (xdp_multiprog__is_legacy(chain.get()))
		return;

	attached.dispatcher = true;
	xdp_program *program = nullptr;
	while ((program = xdp_multiprog__next_prog(program, chain.get()))) {
		attached.chain.emplace_back(xdp_program__name(program));
		if (attached.our_program_id && xdp_program__id(program) == attached.our_program_id)
			attached.ours = true;
	}
}

Status add(const Program &program, const Attached &attached)
{
	LibbpfLog log;
	xdp_program *raw = xdp_program__from_fd(program.fd());

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

Status remove(const std::string &pin, const Attached &attached)
{
	LibbpfLog log;
	xdp_program *raw = xdp_program__from_pin(pin.c_str());

	if (long error = libxdp_get_error(raw))
		return failed(fmt::format("open {}", pin), error, log);
	const XdpProgram handle(raw);
	if (int error = xdp_program__detach(raw, attached.ifindex, libxdp_mode(attached.mode), 0))
		return failed(fmt::format("leave the dispatcher on {}", attached.interface), error,
			      log);
	return {};
}

} // namespace anycast::dispatcher
