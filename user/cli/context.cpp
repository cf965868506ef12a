// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/context.h"

#include <unistd.h>

#include <anycast_xdp/loss.h>
#include <fmt/format.h>

namespace anycast::cli {

namespace {

using Json = nlohmann::ordered_json;

// Interface names may be any bytes: they must not make dump() throw.
std::string dumped(const Json &json, int indent)
{
	return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

} // namespace

void Context::print(const Json &json) const
{
	out_ << dumped(json, 2) << '\n';
}

void Context::print_line(const Json &json) const
{
	out_ << dumped(json, -1) << '\n';
}

void Context::warn(std::string_view text) const
{
	err_ << "anycast-xdp: warning: " << text << '\n';
}

void Context::warn(std::string_view device, std::string_view text) const
{
	warn(text.starts_with(device) ? std::string(text) : fmt::format("{}: {}", device, text));
}

void Context::note(std::string_view text) const
{
	err_ << "anycast-xdp: note: " << text << '\n';
}

std::string Context::config_path() const
{
	return globals_.config.empty() ? AX_DEFAULT_CONFIG : globals_.config;
}

Result<Config> Context::load(const std::string &path) const
{
	auto parsed = load_config(path);
	if (!parsed) {
		Error &error = parsed.error();
		if (error.hint.empty() && ::access(path.c_str(), F_OK) != 0)
			error.hint = "write it, or name another with --config FILE";
		return tl::unexpected(std::move(error));
	}
	for (const std::string &warning : parsed->warnings)
		warn(warning);
	return std::move(parsed->config);
}

Paths Context::paths_with(const Config &config) const
{
	Paths paths;
	paths.pins = config.pin_dir.value_or(paths.pins);
	paths.state = config.state_dir.value_or(paths.state);
	if (!globals_.pins.empty())
		paths.pins = globals_.pins;
	if (!globals_.state.empty())
		paths.state = globals_.state;
	paths.socket = config.socket.value_or(paths.state + "/agent.sock");
	if (!globals_.socket.empty())
		paths.socket = globals_.socket;
	return paths;
}

Result<Paths> Context::paths() const
{
	const bool all_given = !globals_.pins.empty() && !globals_.state.empty();
	const std::string path = config_path();
	if (all_given || (globals_.config.empty() && ::access(path.c_str(), F_OK) != 0))
		return paths_with({});
	const auto parsed = load_config(path);
	if (parsed)
		return paths_with(parsed->config);
	if (!globals_.config.empty())
		return tl::unexpected(parsed.error());
	warn(fmt::format("{} has errors; the default paths are used (see `validate`)", path));
	return paths_with({});
}

Result<std::vector<std::string>> Context::devices(const Paths &paths) const
{
	auto attached = attached_interfaces(paths);
	if (!attached)
		return attached;
	if (!device().empty()) {
		for (const std::string &name : *attached)
			if (name == device())
				return std::vector{device()};
		return fail(Exit::kNotAttached, fmt::format("{} is not attached", device()),
			    attached->empty()
				    ? fmt::format("attach it: anycast-xdp attach {}", device())
				    : fmt::format("attached: {}", fmt::join(*attached, ", ")));
	}
	if (attached->empty())
		return fail(Exit::kNotAttached,
			    fmt::format("nothing is attached in this network namespace (pins: {})",
					paths.pins),
			    "attach an interface: anycast-xdp attach DEV");
	return attached;
}

Result<std::vector<Instance>> Context::instances() const
{
	const auto where = paths();
	if (!where)
		return tl::unexpected(where.error());
	const auto names = devices(*where);
	if (!names)
		return tl::unexpected(names.error());
	std::vector<Instance> instances;
	for (const std::string &name : *names) {
		auto instance = open_instance(*where, name);
		if (!instance)
			return tl::unexpected(std::move(instance.error()));
		instances.push_back(std::move(*instance));
	}
	return instances;
}

render::Hook hook_of(const Attached &attached)
{
	render::Hook hook;
	hook.interface = attached.interface;
	hook.mode = mode_name(attached.mode);
	if (attached.mode != XdpMode::kNone)
		hook.attached_by = attached.dispatcher ? "dispatcher"
				   : attached.by_link  ? "link"
						       : "netlink";
	hook.program_id = attached.ours ? attached.our_program_id : 0;
	hook.hook_program_id = attached.program_id;
	hook.program_name = attached.program_name;
	hook.chain = attached.chain;
	hook.ours = attached.ours;
	hook.egress = attached.egress;
	return hook;
}

render::Memory memory_of(const DataplaneSizes &sizes)
{
	const std::uint64_t entries4 = std::uint64_t{sizes.buckets4} * AX_WAYS;
	const std::uint64_t entries6 = std::uint64_t{sizes.buckets6} * AX_WAYS;
	render::Memory memory;
	memory.flows4 = entries4 * sizes.cpus;
	memory.flows6 = entries6 * sizes.cpus;
	memory.flow_tables =
		sizes.cpus *
		((sizes.buckets4 + std::uint64_t{sizes.buckets6}) *
			 (sizeof(ax_bucket) + sizeof(ax_slots)) +
		 entries4 * sizeof(ax_flow4) + entries6 * sizeof(ax_flow6) +
		 std::uint64_t{sizes.anomalies} * (sizeof(ax_anomaly) + sizeof(ax_sack)) +
		 std::uint64_t{AX_SYN_SLOTS} * sizeof(ax_syn));
	memory.total = sizes.bytes;
	return memory;
}

} // namespace anycast::cli
