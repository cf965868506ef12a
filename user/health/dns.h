// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// RFC 1035 as far as a check needs it: one question out, one answer judged.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/address.h"
#include "health/probe.h"

namespace anycast::health {

// "A", "AAAA", "NS", "SOA", "TXT", "MX", "PTR", "CNAME", "SRV" -> its number.
std::optional<std::uint16_t> dns_record_type(std::string_view name);
// Empty if the name cannot be in a question: labels of 1..63 bytes, 253 in all.
std::vector<std::uint8_t> dns_question(std::uint16_t id, std::string_view name, std::uint16_t type);

// Nothing: an answer to another question, which must not count. `expect`: an address that has to be
// among the answers.
std::optional<Outcome> judge_dns(std::span<const std::uint8_t> question,
				 std::span<const std::uint8_t> answer,
				 const std::optional<Address> &expect);

} // namespace anycast::health
