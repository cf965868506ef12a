// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What becomes of a packet, and why: by the maps of what is attached, and by a run through the
// program in a private instance that holds the same.
#pragma once

#include <map>
#include <optional>

#include "cli/app.h"
#include "core/steer.h"
#include "kernel/next_hops.h"
#include "kernel/program.h"
#include "render/explain.h"

namespace anycast::cli {

// One attached interface, or the configuration file where there is none.
class Explainer {
public:
	static Result<Explainer> of_instance(Instance instance);
	static Result<Explainer> of_file(Config config);

	Result<render::Explained> explain(const std::vector<std::uint8_t> &frame,
					  const std::optional<FlowTuple> &flow);

private:
	Explainer(Config config, Image image) : config_(std::move(config)), image_(std::move(image))
	{
	}

	Status load();
	void resolve();
	render::Explained::Hop way_to(const Departures &departures, const Address &address,
				      ax_backend &entry) const;
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

} // namespace anycast::cli
