// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp explain: what becomes of a flow or of a packet, and why: by the maps of what is
// attached, and by a run through the program in a private instance that holds the same.
#include <net/if.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/bpf.h>

#include "cli/app.h"
#include "cli/private_instance.h"
#include "core/drop_sample.h"
#include "core/reasons.h"
#include "core/steer.h"
#include "kernel/applying.h"
#include "kernel/flow_reader.h"
#include "net/interfaces.h"
#include "net/pcap.h"
#include "render/explain.h"
#include "render/flows.h"

namespace anycast::cli {

namespace {

struct ExplainArguments {
	std::vector<std::string> flow;
	std::string packet, capture;
};

using Frame = std::vector<std::uint8_t>;

std::string hex(std::span<const std::uint8_t> bytes)
{
	return fmt::format("{:02x}", fmt::join(bytes, ""));
}

std::string mac_text(std::span<const std::uint8_t> mac)
{
	return fmt::format("{:02x}", fmt::join(mac, ":"));
}

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

// One attached interface, or the configuration file where there is none.
class Explainer {
public:
	static Result<Explainer> of_instance(Instance instance);
	static Result<Explainer> of_file(Config config);

	Result<render::Explained> explain(const Frame &frame, const std::optional<FlowTuple> &flow);

private:
	Explainer(Config config, Image image) : config_(std::move(config)), image_(std::move(image))
	{
	}

	Status load();
	void resolve();
	render::Explained::Hop way_to(const Address &address, ax_backend &entry) const;
	void describe_service(const ax_trace &trace, render::Explained &e) const;
	void describe_backend(std::uint32_t id, render::Explained &e) const;
	Result<std::optional<FlowRecord>> known(const FlowTuple &flow) const;
	Status pin(const FlowRecord &record);

	Config config_;
	Image image_;
	std::optional<Instance> instance_;
	std::optional<Program> program_;
	std::map<Address, render::Explained::Hop> hops_;
};

Status Explainer::load()
{
	resolve();
	auto program = load_private(config_, image_);
	if (!program)
		return tl::unexpected(std::move(program.error()));
	program_.emplace(std::move(*program));
	return {};
}

Result<Explainer> Explainer::of_instance(Instance instance)
{
	const Applied &applied = instance.applied;
	auto image = image_for(instance.interface, applied.config, applied.roles, applied.ids);
	if (!image)
		return tl::unexpected(std::move(image.error()));
	auto slots =
		instance.dataplane.read_slots(0, static_cast<std::uint32_t>(image->slots.size()));
	if (!slots)
		return tl::unexpected(std::move(slots.error()));
	image->slots = std::move(*slots);
	Config config = applied.config;
	config.roles = applied.roles;
	Explainer explainer(std::move(config), std::move(*image));
	explainer.instance_ = std::move(instance);
	AX_TRY(explainer.load());
	return explainer;
}

Result<Explainer> Explainer::of_file(Config config)
{
	auto image = portable_image(config);
	if (!image)
		return tl::unexpected(std::move(image.error()));
	Explainer explainer(std::move(config), std::move(*image));
	auto program = load_private(explainer.config_, explainer.image_);
	if (!program)
		return tl::unexpected(std::move(program.error()));
	explainer.program_.emplace(std::move(*program));
	return explainer;
}

// The node's way to a backend, written into its entry; a test run arrives on the loopback.
render::Explained::Hop Explainer::way_to(const Address &address, ax_backend &entry) const
{
	render::Explained::Hop hop;
	entry.flags |= AX_BACKEND_RESOLVED;
	entry.ifindex = kLoopback;
	entry.mtu = 65535;
	const auto route = route_to(address);
	if (!route) {
		hop.error = route.error().what + ": dropped as no_route";
		return hop;
	}
	char name[IF_NAMESIZE] = "?";
	::if_indextoname(static_cast<unsigned>(route->ifindex), name);
	hop.interface = name;
	hop.gateway = route->gateway.text();
	const auto device = interface_named(name);
	hop.mtu = route->mtu != 0 ? route->mtu : device ? device->mtu : 0;
	if (hop.mtu != 0)
		entry.mtu = static_cast<__u16>(std::min<std::uint32_t>(hop.mtu, 65535));
	if (device && route->ifindex != instance_->attached.ifindex && !can_transmit(device->kind))
		hop.error =
			fmt::format("{} is a {} device: XDP cannot send there", name, device->kind);
	const auto mac = neighbour_mac(route->ifindex, route->gateway);
	if (!mac && hop.error.empty())
		hop.error = fmt::format("{} on {} has no link-layer address yet: dropped as "
					"no_neighbour until the kernel has found it",
					hop.gateway, name);
	if (mac) {
		hop.mac = mac_text(*mac);
		std::ranges::copy(*mac, entry.dmac);
	}
	if (route->ifindex != instance_->attached.ifindex)
		entry.ifindex = static_cast<__u32>(route->ifindex);
	return hop;
}

void Explainer::resolve()
{
	for (ax_backend &backend : image_.backends) {
		if (backend.state == AX_BACKEND_ABSENT || backend.flags & AX_BACKEND_LOCAL)
			continue;
		const Address address(backend.addr);
		hops_.emplace(address, way_to(address, backend));
	}
}

Result<std::optional<FlowRecord>> Explainer::known(const FlowTuple &flow) const
{
	const auto records = read_flows(instance_->dataplane);
	if (!records)
		return tl::unexpected(records.error());
	for (const FlowRecord &record : *records)
		if (FlowTuple{record.source, record.destination, record.source_port,
			      record.destination_port, record.protocol} == flow)
			return record;
	return std::nullopt;
}

// The entry decides and not the slot: here, all slots of the pool become its backend's.
Status Explainer::pin(const FlowRecord &record)
{
	Image pinned = image_;
	const ax_pool &pool = pinned.pools.at(pinned.vips.at(record.vip).pool);
	for (std::uint32_t i = 0; i < pool.size; i++)
		pinned.slots.at(pool.first + i) = {{record.backend}, 1};
	const auto applied = program_->dataplane().apply(pinned);
	if (!applied)
		return tl::unexpected(applied.error());
	return {};
}

void Explainer::describe_service(const ax_trace &trace, render::Explained &e) const
{
	const std::string &name = image_.ids.vips.at(trace.vip - 1).name;
	const auto vip = std::ranges::find(config_.vips, name, &Vip::name);
	if (vip == config_.vips.end())
		return;
	e.vip = &*vip;
	e.reserve = image_.vips.at(trace.vip - 1).reserve;
	const auto pool = std::ranges::find(config_.pools, vip->pool, &Pool::name);
	if (pool == config_.pools.end())
		return;
	e.pool = &*pool;
	const ax_pool &table = image_.pools.at(
		static_cast<std::size_t>(std::distance(config_.pools.begin(), pool)));
	e.table_size = table.size;
	if (trace.slot == 0)
		return;
	e.slot = trace.slot - 1;
	const ax_slot &slot = image_.slots.at(table.first + *e.slot);
	for (std::uint32_t i = 0; i < slot.count; i++) {
		const std::string &full = image_.ids.backends.at(slot.backend[i]).name;
		e.candidates.push_back(full.substr(full.find('/') + 1));
	}
}

void Explainer::describe_backend(std::uint32_t id, render::Explained &e) const
{
	const std::string &full = image_.ids.backends.at(id).name;
	const auto pool =
		std::ranges::find(config_.pools, full.substr(0, full.find('/')), &Pool::name);
	if (pool == config_.pools.end())
		return;
	const auto backend =
		std::ranges::find(pool->backends, full.substr(full.find('/') + 1), &Backend::name);
	if (backend == pool->backends.end())
		return;
	e.backend = &*backend;
	e.local = image_.backends.at(id).flags & AX_BACKEND_LOCAL;
	if (const auto hop = hops_.find(backend->address); hop != hops_.end())
		e.hop = hop->second;
}

Result<render::Explained> Explainer::explain(const Frame &frame,
					     const std::optional<FlowTuple> &flow)
{
	render::Explained e;
	std::optional<FlowRecord> record;
	if (instance_) {
		e.interface = instance_->interface;
		e.generation = instance_->applied.generation;
	}
	if (flow && instance_) {
		auto found = known(*flow);
		if (!found)
			return tl::unexpected(std::move(found.error()));
		record = std::move(*found);
		e.table_asked = true;
	}
	if (record) {
		const auto named = render::name_flow(*record, "", image_.ids);
		e.known = {std::string(named.backend), record->packets, record->generation};
		if (!named.backend.empty() && !named.vip.empty())
			AX_TRY(pin(*record));
	}

	AX_TRY(program_->dataplane().set_clock(1'000'000'000));
	const auto run = program_->run(frame);
	if (!run)
		return tl::unexpected(run.error());
	const auto trace = program_->dataplane().trace();
	if (!trace)
		return tl::unexpected(trace.error());
	if (record) // the next one is not of this flow
		AX_TRY(program_->dataplane().apply(image_));

	const ReasonInfo *info = find_reason(static_cast<int>(trace->reason));
	e.verdict = verdict_name(run->verdict);
	e.reason = info ? std::string(info->label) : std::to_string(trace->reason);
	e.help = info ? std::string(info->help) : "";
	e.in = hex(frame);
	if (run->verdict != XDP_DROP && run->verdict != XDP_ABORTED)
		e.out = hex(run->frame);
	if (flow) {
		FlowRecord named;
		named.source = flow->source;
		named.destination = flow->destination;
		named.source_port = flow->source_port;
		named.destination_port = flow->destination_port;
		named.protocol = flow->protocol;
		e.flow = render::key_text(named);
	}
	if (trace->vip != 0)
		describe_service(*trace, e);
	if (flow && e.slot && e.table_size != 0) {
		const std::uint32_t hash = steer_hash(config_.hash_seed, *flow, e.pool->hash);
		if (hash % e.table_size == *e.slot) // a fragment's slot is another
			e.hash = hash;
	}
	if (trace->backend != 0)
		describe_backend(trace->backend - 1, e);
	return e;
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
