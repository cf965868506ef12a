// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp explain: what becomes of a flow or of a packet, and why.
#include <algorithm>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/app.h"
#include "cli/explainer.h"
#include "cli/private_instance.h"
#include "core/drop_sample.h"
#include "core/steer.h"
#include "net/pcap.h"
#include "render/explain.h"

namespace anycast::cli {

namespace {

struct ExplainArguments {
	std::vector<std::string> flow;
	std::string packet, capture;
};

using Frame = std::vector<std::uint8_t>;

std::optional<Frame> from_hex(const std::string &text)
{
	std::string digits;
	for (const char c : text)
		if (c != ' ' && c != ':' && c != '\n' && c != '\t')
			digits += c;
	if (digits.size() % 2 != 0 ||
	    digits.find_first_not_of("0123456789abcdefABCDEF") != digits.npos)
		return std::nullopt;
	Frame frame;
	for (std::size_t i = 0; i < digits.size(); i += 2)
		frame.push_back(
			static_cast<std::uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
	return frame;
}

// The flow of a frame that is no fragment and has ports.
std::optional<FlowTuple> flow_of(const Frame &frame)
{
	DropSample sample;
	decode_frame(frame, sample);
	if (!sample.source || !sample.destination || !sample.source_port ||
	    !sample.destination_port || !sample.protocol)
		return std::nullopt;
	return FlowTuple{*sample.source, *sample.destination, *sample.source_port,
			 *sample.destination_port, *sample.protocol};
}

Result<std::vector<Explainer>> explainers(const Context &context)
{
	std::vector<Explainer> list;
	auto instances = context.instances();
	if (!instances && instances.error().kind != Exit::kNotAttached)
		return tl::unexpected(std::move(instances.error()));
	if (!instances) {
		auto config = context.load(context.config_path());
		if (!config)
			return tl::unexpected(std::move(instances.error()));
		context.note(fmt::format("nothing is attached: explained by {}, as `replay` does",
					 context.config_path()));
		auto explainer = Explainer::of_file(std::move(*config));
		if (!explainer)
			return tl::unexpected(std::move(explainer.error()));
		list.push_back(std::move(*explainer));
		return list;
	}
	for (Instance &instance : *instances) {
		auto explainer = Explainer::of_instance(std::move(instance));
		if (!explainer)
			return tl::unexpected(std::move(explainer.error()));
		list.push_back(std::move(*explainer));
	}
	return list;
}

Status explain_one(const Context &context, std::vector<Explainer> &list, const Frame &frame,
		   const std::optional<FlowTuple> &flow)
{
	nlohmann::ordered_json json = nlohmann::ordered_json::array();
	for (Explainer &explainer : list) {
		const auto explained = explainer.explain(frame, flow);
		if (!explained)
			return tl::unexpected(explained.error());
		if (context.json())
			json.push_back(explained_json(*explained));
		else
			context.print(explained_text(*explained));
	}
	if (context.json())
		context.print({{"interfaces", std::move(json)}});
	return {};
}

Status explain_capture(const Context &context, std::vector<Explainer> &list,
		       const std::string &path)
{
	auto capture = CaptureReader::open(path);
	if (!capture)
		return tl::unexpected(capture.error());
	for (std::uint64_t number = 1;; number++) {
		auto frame = capture->next();
		if (!frame)
			return tl::unexpected(frame.error());
		if (!*frame)
			return {};
		Frame bytes = std::move((*frame)->bytes);
		bytes.resize(std::max<std::size_t>(bytes.size(), (*frame)->original_length));
		if (bytes.size() < kShortestRun || bytes.size() > longest_run()) {
			context.warn(fmt::format("packet {}: {} bytes: a test run takes {} to {}",
						 number, bytes.size(), kShortestRun,
						 longest_run()));
			continue;
		}
		for (Explainer &explainer : list) {
			const auto explained = explainer.explain(bytes, flow_of(bytes));
			if (!explained)
				return tl::unexpected(explained.error());
			if (!context.json()) {
				context.print(fmt::format("packet {}: {}", number,
							  explained_text(*explained)));
				continue;
			}
			nlohmann::ordered_json json{{"packet", number}};
			json.update(explained_json(*explained));
			context.print_line(json);
		}
	}
}

Status run_explain(const Context &context, const ExplainArguments &arguments)
{
	std::optional<FlowTuple> flow;
	Frame frame;
	const int given =
		!arguments.flow.empty() + !arguments.packet.empty() + !arguments.capture.empty();
	if (given != 1)
		return fail(Exit::kUsage, "explain: name a flow, or --packet, or --pcap",
			    "for example: anycast-xdp explain 203.0.113.5:40000 198.51.100.80:80 "
			    "tcp");
	if (!arguments.flow.empty()) {
		const std::string text = fmt::format("{}", fmt::join(arguments.flow, " "));
		flow = parse_flow(text);
		if (!flow)
			return fail(Exit::kUsage, fmt::format("explain {}: not a flow", text),
				    "ADDRESS:PORT ADDRESS:PORT [tcp|udp], IPv6 addresses in "
				    "brackets, both of one family");
		frame = first_packet(*flow);
	}
	if (!arguments.packet.empty()) {
		auto bytes = from_hex(arguments.packet);
		if (!bytes)
			return fail(Exit::kUsage, "--packet: expected pairs of hex digits");
		if (bytes->size() < kShortestRun || bytes->size() > longest_run())
			return fail(Exit::kUsage,
				    fmt::format("--packet: {} bytes: a test run takes {} to {}",
						bytes->size(), kShortestRun, longest_run()),
				    "the whole frame is wanted, from its Ethernet header on");
		frame = std::move(*bytes);
		flow = flow_of(frame);
	}
	auto list = explainers(context);
	if (!list)
		return tl::unexpected(list.error());
	AX_TRY(stay_on_this_cpu());
	return arguments.capture.empty() ? explain_one(context, *list, frame, flow)
					 : explain_capture(context, *list, arguments.capture);
}

} // namespace

void add_explain(CLI::App &app, Action &chosen)
{
	const auto arguments = std::make_shared<ExplainArguments>();
	CLI::App *command =
		app.add_subcommand("explain", "The way of one flow or packet, step by step");
	command->footer(
		"FLOW: ADDRESS:PORT ADDRESS:PORT [tcp|udp], as `flows` prints it; its first "
		"packet is run.\nBy the maps of what is attached, and by a run through the "
		"program in a private instance\nthat holds the same: nothing is sent or "
		"counted. Needs root.");
	command->add_option("FLOW", arguments->flow, "Source, destination, protocol")
		->type_name("")
		->expected(0, 4);
	command->add_option("--packet", arguments->packet, "A frame, from its Ethernet header on")
		->type_name("HEX");
	command->add_option("--pcap", arguments->capture, "Every packet of a capture")
		->type_name("FILE");
	command->callback([arguments, &chosen] {
		chosen = [arguments](const Context &context) {
			return run_explain(context, *arguments);
		};
	});
}

} // namespace anycast::cli
