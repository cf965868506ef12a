// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp vip, backend: show the applied configuration's objects, and edit them in place.
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/app.h"
#include "cli/change.h"
#include "cli/tally.h"
#include "core/edit.h"
#include "render/objects.h"

namespace anycast::cli {

namespace {

using Arguments = std::shared_ptr<ObjectEdit>;
using EditConfig = std::function<Status(Config &)>;

// ---- editing --------------------------------------------------------------------------------

constexpr std::string_view kEdited = "the changed configuration";

// An edit has no file, so the places of its mistakes help nobody.
Error without_places(Error error)
{
	const std::string place = std::string(kEdited) + ":";
	for (std::size_t at = error.what.find(place); at != error.what.npos;
	     at = error.what.find(place, at)) {
		const std::size_t end = error.what.find(": ", at);
		error.what.erase(at, end == error.what.npos ? end : end + 2 - at);
	}
	return error;
}

Status edit(const Context &context, const EditConfig &change_config)
{
	const auto paths = context.paths();
	if (!paths)
		return tl::unexpected(paths.error());
	const auto devices = context.devices(*paths);
	if (!devices)
		return tl::unexpected(devices.error());
	const auto make = [&](const Applied &applied) -> Result<Config> {
		Config config = applied.config;
		AX_TRY(change_config(config));
		// The file's own rules, whatever they are: limits, names, what fits together.
		auto checked = parse_config(to_toml(config), std::string(kEdited));
		if (!checked)
			return tl::unexpected(without_places(std::move(checked.error())));
		return std::move(checked->config);
	};
	const auto changed = change(context, *paths, *devices, make, {});
	if (!changed)
		return tl::unexpected(changed.error());
	if (*changed)
		context.note("the configuration file is as it was: `apply` of it undoes this");
	return {};
}

// ---- showing --------------------------------------------------------------------------------

template <typename Select, typename Json, typename Text>
Status show(const Context &context, Select select, Json to_json, Text to_text)
{
	const auto instances = context.instances();
	if (!instances)
		return tl::unexpected(instances.error());
	std::vector<render::InterfaceObjects> list;
	for (const Instance &instance : *instances) {
		auto stats = stats_of(instance);
		if (!stats)
			return tl::unexpected(stats.error());
		render::InterfaceObjects objects{&instance.applied.config, std::move(*stats), {}};
		AX_TRY(select(objects));
		list.push_back(std::move(objects));
	}
	if (context.json())
		context.print(to_json(list));
	else
		context.print(to_text(list));
	return {};
}

Status keep_all(render::InterfaceObjects &)
{
	return {};
}

Status show_vips(const Context &context, const std::string &only)
{
	const auto select = [&](render::InterfaceObjects &objects) -> Status {
		if (only.empty())
			return {};
		AX_TRY(find_vip(*objects.config, only));
		objects.only = only;
		return {};
	};
	return show(context, select, render::vips_json, render::vips_text);
}

Status show_backends(const Context &context, const std::string &only)
{
	if (only.empty())
		return show(context, keep_all, render::backends_json, render::backends_text);
	const auto select = [&](render::InterfaceObjects &objects) -> Status {
		Config config = *objects.config;
		const auto found = find_backend(config, only);
		if (!found)
			return tl::unexpected(found.error());
		objects.only = found->first->name + "/" + found->second->name;
		return {};
	};
	return show(context, select, render::backends_json, render::backends_text);
}

// ---- declaring ------------------------------------------------------------------------------

CLI::App *declare(CLI::App &parent, const char *name, const char *about, Action &chosen,
		  const Action &action)
{
	CLI::App *command = parent.add_subcommand(name, about);
	command->callback([action, &chosen] { chosen = action; });
	return command;
}

Action editing(const Arguments &arguments, Status (*change_config)(Config &, const ObjectEdit &))
{
	return [=](const Context &context) {
		return edit(context,
			    [&](Config &config) { return change_config(config, *arguments); });
	};
}

Action stating(const Arguments &arguments, ax_backend_state state)
{
	return [=](const Context &context) {
		return edit(context,
			    [&](Config &config) { return set_state(config, *arguments, state); });
	};
}

void name_option(CLI::App *command, const Arguments &arguments, const char *about)
{
	command->add_option("NAME", arguments->name, about)->required()->type_name("");
}

CLI::Option *weight_option(CLI::App *command, const char *name, const Arguments &arguments)
{
	return command
		->add_option(name, arguments->weight, "1..65535, relative to the pool's others")
		->check(CLI::Range(1, 65535))
		->type_name(name[0] == '-' ? "N" : "");
}

void add_vip_commands(CLI::App &app, Action &chosen)
{
	CLI::App *vip = app.add_subcommand("vip", "Virtual IPs: list, show, add, del");
	vip->require_subcommand(1);
	declare(*vip, "list", "All VIPs, with their counters", chosen,
		[](const Context &context) { return show_vips(context, ""); });
	const auto arguments = std::make_shared<ObjectEdit>();
	CLI::App *command = declare(*vip, "show", "One VIP", chosen, [=](const Context &context) {
		return show_vips(context, arguments->name);
	});
	name_option(command, arguments, "The VIP's name");

	command =
		declare(*vip, "add", "Add a VIP to what runs", chosen, editing(arguments, add_vip));
	name_option(command, arguments, "A name of your choice");
	command->add_option("--address", arguments->address,
			    "Its IPv4 or IPv6 address, or a prefix")
		->required();
	command->add_option("--pool", arguments->pool, "Who serves it")->required();
	command->add_option("--port", arguments->port, "1..65535, or any [any]")
		->transform(CLI::Validator(
			[](std::string &port) {
				if (port == "any")
					port = "0";
				return std::string();
			},
			""))
		->check(CLI::Range(0, 65535))
		->type_name("N");
	command->add_option("--protocol", arguments->protocol, "Protocol [tcp]")
		->check(CLI::IsMember({"tcp", "udp", "any"}));
	command->add_option("--forward", arguments->forward, "How packets reach backends [ipip]")
		->check(CLI::IsMember({"ipip", "gue", "l2dsr"}));

	command = declare(*vip, "del", "Remove a VIP from what runs", chosen,
			  editing(arguments, del_vip));
	name_option(command, arguments, "The VIP's name");
}

void add_backend_commands(CLI::App &app, Action &chosen)
{
	CLI::App *backend = app.add_subcommand(
		"backend", "Backends: list, show, add, del, drain, undrain, weight");
	backend->require_subcommand(1);
	declare(*backend, "list", "All backends, with their share and counters", chosen,
		[](const Context &context) { return show_backends(context, ""); });
	const auto arguments = std::make_shared<ObjectEdit>();
	constexpr const char *kWhich = "[POOL/]NAME or its address";
	CLI::App *command =
		declare(*backend, "show", "One backend", chosen, [=](const Context &context) {
			return show_backends(context, arguments->name);
		});
	name_option(command, arguments, kWhich);

	command = declare(*backend, "add", "Add a backend to a pool that runs", chosen,
			  editing(arguments, add_backend));
	command->add_option("POOL", arguments->pool, "The pool")->required()->type_name("");
	command->add_option("ADDRESS", arguments->address, "Its address")
		->required()
		->type_name("");
	command->add_option("--name", arguments->name, "Its name [its address]");
	weight_option(command, "--weight", arguments);
	command->add_option("--server-id", arguments->server_id,
			    "What QUIC connection ids call it, in hex")
		->type_name("HEX");

	name_option(declare(*backend, "del", "Remove a backend: its flows go to others", chosen,
			    editing(arguments, del_backend)),
		    arguments, kWhich);
	name_option(declare(*backend, "drain", "Known flows stay, new ones go elsewhere", chosen,
			    stating(arguments, AX_BACKEND_DRAINING)),
		    arguments, kWhich);
	name_option(declare(*backend, "undrain", "Take new flows again", chosen,
			    stating(arguments, AX_BACKEND_ACTIVE)),
		    arguments, kWhich);
	command = declare(*backend, "weight", "Change a backend's share of new flows", chosen,
			  editing(arguments, set_weight));
	name_option(command, arguments, kWhich);
	weight_option(command, "WEIGHT", arguments)->required();
}

} // namespace

void add_objects(CLI::App &app, Action &chosen)
{
	add_vip_commands(app, chosen);
	add_backend_commands(app, chosen);
}

} // namespace anycast::cli
