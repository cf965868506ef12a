// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp check
#include "cli/check.h"

#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/app.h"
#include "render/check.h"

namespace anycast::cli {

namespace {

Status run_check(const Context &context, const std::string &peer_digest)
{
	const auto config = context.load(context.config_path());
	if (!config)
		return tl::unexpected(config.error());
	Findings findings;
	CheckInput input{.context = context,
			 .config = *config,
			 .paths = context.paths_with(*config),
			 .instances = {},
			 .peer_digest = peer_digest};
	const auto attached = attached_interfaces(input.paths);
	if (!attached)
		return tl::unexpected(attached.error());
	for (const std::string &name : *attached) {
		auto instance = open_instance(input.paths, name);
		if (instance)
			input.instances.push_back(std::move(*instance));
		else
			findings.fail("attach", instance.error().what, instance.error().hint);
	}
	check_features(findings);
	for (const auto subject :
	     {check_hooks, check_links, check_mtu, check_host, check_bird, check_gtsm, check_agent,
	      check_backends, check_icmp, check_digest})
		subject(input, findings);
	if (context.json())
		context.print(render::check_json(findings.list()));
	else
		context.print(render::check_text(findings.list()));
	const auto wrong = std::ranges::count(findings.list(), Level::kFail, &Finding::level);
	if (wrong > 0)
		return fail(Exit::kFailed, fmt::format("{} of the checks failed", wrong));
	return {};
}

} // namespace

void add_check(CLI::App &app, Action &chosen)
{
	const auto digest = std::make_shared<std::string>();
	CLI::App *command = app.add_subcommand(
		"check", "Look for what is wrong on this node, and say what to do about it");
	command->add_option("--peer-digest", *digest, "Another node's digest: do we steer alike?")
		->type_name("HEX");
	command->footer("Changes nothing. Exits with 1 if a line says fail; warn is for things "
			"that work, but not well.");
	command->callback([digest, &chosen] {
		chosen = [digest](const Context &context) { return run_check(context, *digest); };
	});
}

} // namespace anycast::cli
