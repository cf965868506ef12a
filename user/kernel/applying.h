// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What attach and apply share: from a configuration to a running half, with its record on disk.
#pragma once

#include <cstdint>
#include <string>

#include "core/image.h"
#include "kernel/attachment.h"

namespace anycast {

// The image of a configuration on this interface, in the roles that the program has.
Result<Image> image_for(const std::string &interface, const Config &config, std::uint32_t roles,
			const Ids &previous);

// Writes the record, then the idle half, then switches; takes the record back where that fails.
// `applied` says what is asked for; its ids, digest and generation are filled in.
Status switch_to(Dataplane &dataplane, const Image &image, const std::string &state_directory,
		 Applied &applied);

// Ids that are in use in the maps, nameless: for when the record is lost.
Result<Ids> ids_from_maps(const Dataplane &dataplane);

// An error if a build with another ABI has pins for this interface.
Status refuse_other_abi(const Paths &paths, const std::string &interface);

// Other [limits] than those the maps were made with? The flow tables' may be, if they are reset.
Status check_limits(const Limits &running, const Limits &wanted, bool reset_flows);

} // namespace anycast
