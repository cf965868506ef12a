// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp replay: a capture through the very program that would be attached, by
// BPF_PROG_TEST_RUN, in a private instance.
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <linux/bpf.h>

#include "cli/app.h"
#include "cli/private_instance.h"
#include "core/names.h"
#include "core/reasons.h"
#include "kernel/flow_reader.h"
#include "kernel/program.h"
#include "net/pcap.h"
#include "render/flows.h"
#include "render/reasons.h"
#include "render/replay.h"

namespace anycast::cli {

namespace {

struct ReplayArguments {
	std::string capture, out, role;
	bool flows = false;
};

class Replay {
public:
	Replay(const Context &context, const Config &config, const Image &image, Program program)
		: context_(context), config_(config), image_(image), program_(std::move(program))
	{
	}

	Status packet(CapturedFrame frame, CaptureWriter *out);
	Status finish(bool flows);

private:
	Result<std::optional<TestRun>> run(const CapturedFrame &frame,
					   render::ReplayedPacket &packet);
	void name_outcome(const ax_trace &trace, render::ReplayedPacket &packet) const;

	const Context &context_;
	const Config &config_;
	const Image &image_;
	Program program_;
	render::ReplaySummary summary_;
	std::size_t longest_ = longest_run(); // smaller where the kernel refuses that
};

// No TestRun: the kernel takes no such frame, and `packet` says what would happen.
Result<std::optional<TestRun>> Replay::run(const CapturedFrame &frame,
					   render::ReplayedPacket &packet)
{
	if (frame.bytes.size() < kShortestRun) {
		const ReasonInfo *info = find_reason(AX_R_ETH_TRUNCATED);
		const bool drops = render::action_in_force(config_, *info) == AX_ACTION_DROP;
		packet.verdict = drops ? "drop" : "pass";
		packet.reason = info->label;
		packet.note = "not run: shorter than an Ethernet header";
		return std::nullopt;
	}
	if (frame.bytes.size() <= longest_) {
		AX_TRY(program_.dataplane().set_clock(frame.time_ns));
		auto result = program_.run(frame.bytes);
		if (result)
			return std::optional(std::move(*result));
		if (frame.bytes.size() < 2048)
			return tl::unexpected(std::move(result.error()));
		longest_ = frame.bytes.size() - 1;
	}
	packet.verdict = "not_run";
	packet.note = fmt::format("skipped: a test run takes at most {} bytes", longest_);
	return std::nullopt;
}

void Replay::name_outcome(const ax_trace &trace, render::ReplayedPacket &packet) const
{
	const ReasonInfo *info = find_reason(static_cast<int>(trace.reason));
	packet.reason = info ? std::string(info->label) : std::to_string(trace.reason);
	if (trace.vip != 0 && trace.vip <= image_.ids.vips.size())
		packet.vip = image_.ids.vips[trace.vip - 1].name;
	if (trace.backend != 0 && trace.backend <= image_.backends.size())
		packet.backend = Address(image_.backends[trace.backend - 1].addr).text();
}

Status Replay::packet(CapturedFrame frame, CaptureWriter *out)
{
	render::ReplayedPacket packet;
	packet.number = summary_.packets + 1;
	packet.length_in = frame.bytes.size();
	const bool cut = frame.is_cut();
	if (cut) {
		// Otherwise every packet of a capture with a snap length would count as truncated.
		packet.note = fmt::format("the capture cut it: {} zero bytes added",
					  frame.original_length - frame.bytes.size());
		frame.bytes.resize(frame.original_length);
		packet.length_in = frame.bytes.size();
	}

	const auto result = run(frame, packet);
	if (!result)
		return tl::unexpected(result.error());
	if (const auto &test = *result) {
		const auto trace = program_.dataplane().trace();
		if (!trace)
			return tl::unexpected(trace.error());
		packet.verdict = verdict_name(test->verdict);
		name_outcome(*trace, packet);
		if (cut && test->verdict == XDP_DROP)
			packet.note += ", and the verdict may come of them";
		const bool leaves = test->verdict == XDP_TX || test->verdict == XDP_REDIRECT ||
				    test->verdict == XDP_PASS;
		if (leaves) {
			packet.length_out = test->frame.size();
			if (out)
				AX_TRY(out->write(test->frame, frame.time_ns));
		}
	}
	summary_.add(packet);
	if (context_.json())
		context_.print_line(packet_json(packet));
	else
		context_.print(packet_text(packet));
	return {};
}

Status Replay::finish(bool flows)
{
	if (context_.json())
		context_.print_line(summary_json(summary_));
	else
		context_.print(summary_text(summary_));
	if (!flows)
		return {};

	const auto records = read_flows(program_.dataplane(), StampClock::kUnknown);
	if (!records)
		return tl::unexpected(records.error());
	std::vector<render::NamedFlow> named;
	for (const FlowRecord &record : *records)
		named.push_back(render::name_flow(record, "", image_.ids));
	if (context_.json())
		for (const render::NamedFlow &flow : named)
			context_.print_line(flow_json(flow));
	else
		context_.print("\n" + flows_text(std::move(named), 0));
	return {};
}

Status run_replay(const Context &context, const ReplayArguments &arguments)
{
	if (arguments.out == "-")
		return fail(Exit::kUsage, "--out -: stdout carries the verdicts", "name a file");
	auto config = context.load(context.config_path());
	if (!config)
		return tl::unexpected(config.error());
	if (!arguments.role.empty())
		config->roles = *roles_from(arguments.role);
	const auto image = portable_image(*config);
	if (!image)
		return tl::unexpected(image.error());
	auto capture = CaptureReader::open(arguments.capture);
	if (!capture)
		return tl::unexpected(capture.error());
	AX_TRY(stay_on_this_cpu());
	auto program = load_private(*config, *image);
	if (!program)
		return tl::unexpected(program.error());
	std::optional<CaptureWriter> out;
	if (!arguments.out.empty()) {
		auto writer = CaptureWriter::create(arguments.out);
		if (!writer)
			return tl::unexpected(writer.error());
		out = std::move(*writer);
	}

	Replay replay(context, *config, *image, std::move(*program));
	while (true) {
		auto frame = capture->next();
		if (!frame)
			return tl::unexpected(frame.error());
		if (!*frame)
			break;
		AX_TRY(replay.packet(std::move(**frame), out ? &*out : nullptr));
	}
	if (capture->skipped() != 0)
		context.warn(
			fmt::format("{} packets of {} were left out: link type {}, and nothing "
				    "that Ethernet could carry",
				    capture->skipped(), arguments.capture, capture->link_type()));
	if (out)
		AX_TRY(out->close());
	return replay.finish(arguments.flows);
}

} // namespace

void add_replay(CLI::App &app, Action &chosen)
{
	const auto arguments = std::make_shared<ReplayArguments>();
	CLI::App *command = app.add_subcommand(
		"replay", "Run a capture through the program: verdict and reason of each packet");
	command->footer(
		"Needs no interface and touches nothing that is attached: a second instance "
		"with maps\nof its own, and the capture's time as its clock. With --json: one "
		"object a packet, then\n{\"summary\":...}, then with --flows one object a flow.");
	command->add_option("--pcap", arguments->capture, "Capture, pcap or pcapng; - is stdin")
		->required()
		->type_name("IN");
	command->add_option("--out", arguments->out,
			    "Write what leaves the program; dropped packets are left out")
		->type_name("OUT.pcap");
	command->add_option("--role", arguments->role, "What to be [the file's node.roles]")
		->check(CLI::IsMember({"edge", "backend", "both"}));
	command->add_flag("--flows", arguments->flows, "The flow table afterwards, loss included");
	command->callback([arguments, &chosen] {
		chosen = [arguments](const Context &context) {
			return run_replay(context, *arguments);
		};
	});
}

} // namespace anycast::cli
